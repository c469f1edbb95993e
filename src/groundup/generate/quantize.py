"""Quantise a run: written in fewer bits, compared with the original, kept only if as good."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from groundup.base.errors import RunError
from groundup.base.file_names import check_name
from groundup.base.files import atomic_folder, write_json
from groundup.config import GPTConfig, parameter_shapes
from groundup.quantized import Codes, quantizable, quantize, to_tensors
from groundup.quantized.kernels import can_multiply_whole_bytes
from groundup.runs import RunFolder, append_line
from groundup.runs.assistant import job_of_whole
from groundup.runs.checkpoint import MODEL, STATE, Checkpoint, save_files, write_tensors
from groundup.runs.choose import choose_checkpoint
from groundup.runs.load import LoadedRun, load, load_tensors, run_tokenizer
from groundup.runs.manifest import Manifest, QuantizationTable
from groundup.runs.own import sealed_like
from groundup.runs.quantizable import check_quantizable

LIMITS = {8: 0.005, 4: 0.02}
"""How much the loss may grow, as a share of it."""


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """A finished quantisation: where it lies, and what it cost. Losses in nats a token."""

    path: Path
    bits: int
    vector_bits: int
    """Of the vectors that the matrices multiply."""
    loss: float
    quantized_loss: float
    growth: float
    """quantized_loss / loss - 1."""
    size_bytes: int
    quantized_bytes: int
    """Of the file with the weights."""
    seconds: float
    notices: tuple[str, ...]


def quantize_run(
    run: str | Path,
    dest: str | Path,
    bits: int,
    measure: Callable[[LoadedRun], float],
    *,
    limit: float | None = None,
    checkpoint: str = "best",
) -> Quantization:
    """Write the model of `run` in 8 or 4 bits to the run folder `dest`.

    Weights in 8 bits multiply vectors in 8 bits, or in 16 where the loss asks for it. `measure`
    returns a model's loss; where it grows by more than `limit` (a share; 0.005 in 8 bits and 0.02
    in 4 where not given) nothing is kept, and a `RunError` says by how much.
    """
    begun = time.perf_counter()
    check_name(run)
    folder, out = RunFolder(Path(run)), RunFolder(Path(dest))
    manifest = check_quantizable(folder, out, bits)
    chosen, notices = choose_checkpoint(folder, checkpoint)
    original = load(run, str(chosen.step))
    loss = measure(original)
    del original
    most = loss * (1 + (LIMITS[bits] if limit is None else limit))
    with atomic_folder(out.path) as unfinished:
        made = RunFolder(unfinished)
        written = _write(folder, manifest, chosen, bits, made)
        for vector_bits in (8, 16) if bits == 8 and can_multiply_whole_bytes() else (16,):
            made.write(_settings(folder, manifest, chosen, bits, vector_bits))
            quantized_loss = measure(load(made.path))
            if quantized_loss <= most:
                break
        else:
            raise RunError(_refusal(run, bits, loss, quantized_loss, most))
        append_line(made.metrics, {"step": chosen.step, "val_loss": quantized_loss})
        quantized_bytes = (written.path / MODEL).stat().st_size
    return Quantization(
        path=out.path,
        bits=bits,
        loss=loss,
        quantized_loss=quantized_loss,
        growth=quantized_loss / loss - 1,
        vector_bits=vector_bits,
        size_bytes=_size(folder, manifest, chosen),
        quantized_bytes=quantized_bytes,
        seconds=time.perf_counter() - begun,
        notices=tuple(notices),
    )


def _write(
    folder: RunFolder, manifest: Manifest, chosen: Checkpoint, bits: int, out: RunFolder
) -> Checkpoint:
    """Write the run folder of the model in `bits` bits but for its settings."""
    tokenizer, config = run_tokenizer(folder, manifest), folder.model_config(manifest)
    written = save_files(
        out.checkpoints,
        chosen.step,
        {
            MODEL: lambda path: write_tensors(
                _quantized(config, load_tensors(folder, manifest, chosen), bits), path
            ),
            STATE: lambda path: write_json(path, {"step": chosen.step}),
        },
    )
    tokenizer.save(out.tokenizer)
    out.write_chat_settings(folder.read_chat_template(), folder.read_generation())
    return written


def _settings(
    folder: RunFolder, manifest: Manifest, chosen: Checkpoint, bits: int, vector_bits: int
) -> Manifest:
    made = Manifest(
        model=manifest.model,
        data=manifest.data,
        job=job_of_whole(manifest),
        source=manifest.source,
        versions=manifest.versions,
        quantization=QuantizationTable(
            bits=bits,
            vector_bits=vector_bits,
            run=str(folder.path),
            weights=chosen.fingerprint(),
            family=manifest.family,
        ),
    )
    return sealed_like(manifest, made)


def _quantized(
    config: GPTConfig, tensors: Mapping[str, Tensor | Codes], bits: int
) -> dict[str, Tensor]:
    """Return the tensors of a model, each matrix as what stands for it in `bits` bits."""
    found: dict[str, Tensor] = {}
    for parameter in parameter_shapes(config):
        tensor = tensors[parameter.name]
        assert isinstance(tensor, Tensor), "a quantised run is refused"
        if quantizable(parameter):
            found |= to_tensors(parameter.name, quantize(tensor, bits))
        else:
            found[parameter.name] = tensor
    return found


def _size(folder: RunFolder, manifest: Manifest, chosen: Checkpoint) -> int:
    """Return the bytes of the model's weights: of their file, where this has all of them."""
    if manifest.base is None:
        return (chosen.path / MODEL).stat().st_size
    tensors = load_tensors(folder, manifest, chosen).values()
    return sum(tensor.nbytes for tensor in tensors if isinstance(tensor, Tensor))


def _refusal(run: str | Path, bits: int, loss: float, now: float, most: float) -> str:
    return (
        f"{run}: in {bits} bits the loss grows from {loss:.4f} to {now:.4f}, by "
        f"{now / loss - 1:.2%}, and at most {most / loss - 1:.2%} is accepted; nothing was kept; "
        f"{'take --bits 8, or ' if bits == 4 else ''}accept more with --limit"
    )
