"""A run in fewer bits: written, measured beside the original, and kept only where it is as good."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from groundup.base.errors import RunError, UsageError
from groundup.base.files import make_folder, write_json
from groundup.config import GPTConfig, build, parameter_shapes
from groundup.generate.generate import generate_tokens
from groundup.generate.sampling import SamplingConfig
from groundup.model import empty_gpt
from groundup.quantized import quantizable, quantize, scatter
from groundup.quantized.codes import BITS
from groundup.runs import RunFolder, append_line
from groundup.runs.checkpoint import MODEL, STATE, Checkpoint, save_files, write_tensors
from groundup.runs.load import LoadedRun, check_parameters, choose_checkpoint, load, run_tokenizer

LIMITS = {8: 0.005, 4: 0.02}
"""How much the loss may grow, as a share of it."""
N_TEXTS, LENGTH = 8, 96
"""Texts that a model writes, and their tokens, to show how large its numbers are."""


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """A finished quantisation: where it lies, and what it cost. Losses in nats a token."""

    path: Path
    bits: int
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

    `measure` returns a model's loss; where it grows by more than `limit` (a share; 0.005 in 8 bits
    and 0.02 in 4 where not given) nothing is kept, and a `RunError` says by how much.
    """
    begun = time.perf_counter()
    if bits not in BITS:
        raise UsageError(f"bits = {bits}: expected 8 or 4")
    folder, out = RunFolder(Path(run)), RunFolder(Path(dest))
    if out.path.exists():
        raise UsageError(f"{out.path} is there already; choose another name, or remove it first")
    tables = folder.read()
    if "quantization" in tables:
        raise UsageError(
            f"{run} holds {tables['quantization']['bits']} bits already; quantize the run that it "
            f"was made from, {tables['quantization']['run']}"
        )
    chosen, notices = choose_checkpoint(folder, checkpoint)
    original = load(run, str(chosen.step))
    loss = measure(original)
    sizes = {} if bits == 4 else input_sizes(original)
    del original
    try:
        written = _write(folder, tables, chosen, bits, out, sizes)
        quantized_loss = measure(load(out.path))
        growth = quantized_loss / loss - 1
        _check_growth(run, bits, loss, quantized_loss, LIMITS[bits] if limit is None else limit)
    except BaseException:
        shutil.rmtree(out.path, ignore_errors=True)
        raise
    append_line(out.metrics, {"step": chosen.step, "val_loss": quantized_loss})
    return Quantization(
        path=out.path,
        bits=bits,
        loss=loss,
        quantized_loss=quantized_loss,
        growth=growth,
        size_bytes=(chosen.path / MODEL).stat().st_size,
        quantized_bytes=(written.path / MODEL).stat().st_size,
        seconds=time.perf_counter() - begun,
        notices=tuple(notices),
    )


@torch.inference_mode()
def input_sizes(run: LoadedRun) -> dict[str, Tensor]:
    """Return the largest magnitudes (I,) that each linear layer's input has, by the layer's name.

    The model is watched while it writes some texts of its own, so that none has to be given.
    """
    sizes: dict[str, Tensor] = {}

    def watch(name: str) -> Callable[..., None]:
        def note(module: nn.Module, inputs: tuple[Tensor]) -> None:
            now = inputs[0].flatten(0, -2).abs().amax(dim=0)
            sizes[name] = torch.maximum(sizes[name], now) if name in sizes else now

        return note

    layers = [(n, m) for n, m in run.model.named_modules() if isinstance(m, nn.Linear)]
    watched = [module.register_forward_pre_hook(watch(name)) for name, module in layers]
    random, known = torch.Generator().manual_seed(0), run.tokenizer.vocab_size
    starts = torch.randint(known, (N_TEXTS, 1), generator=random).tolist()
    sampling = SamplingConfig(max_tokens=LENGTH, temperature=1.0, seed=0)
    for _ in generate_tokens(run.model, starts, sampling, vocab_size=known):
        pass
    for hook in watched:
        hook.remove()
    return sizes


def _write(
    folder: RunFolder,
    tables: dict[str, Any],
    chosen: Checkpoint,
    bits: int,
    out: RunFolder,
    sizes: dict[str, Tensor],
) -> Checkpoint:
    """Write the run folder of the model in `bits` bits; return its checkpoint."""
    tokenizer = run_tokenizer(folder, tables)
    make_folder(out.path)
    written = save_files(
        out.checkpoints,
        chosen.step,
        {
            MODEL: lambda path: write_tensors(_quantized(tables, chosen, bits, sizes), path),
            STATE: lambda path: write_json(path, {"step": chosen.step}),
        },
    )
    tokenizer.save(out.tokenizer)
    out.write_manners(folder.read_chat_template(), folder.read_generation())
    made = {"bits": bits, "run": str(folder.path), "weights": chosen.fingerprint()}
    kept = {key: tables[key] for key in ("model", "data", "source", "versions") if key in tables}
    out.write(kept | {"quantization": made})
    return written


def _quantized(
    tables: dict[str, Any], chosen: Checkpoint, bits: int, sizes: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, each matrix as what stands for it in `bits` bits."""
    config = build(GPTConfig, tables["model"])
    tensors = chosen.model_tensors()
    check_parameters(empty_gpt(config), tensors, chosen.path)
    found: dict[str, Tensor] = {}
    for parameter in parameter_shapes(config):
        tensor = tensors.pop(parameter.name)
        if quantizable(parameter):
            is_tied = config.tie_embeddings and parameter.part == "token embedding"
            layer = "lm_head" if is_tied else parameter.name.removesuffix(".weight")
            found |= scatter(parameter.name, quantize(tensor, bits, sizes.get(layer)))
        else:
            found[parameter.name] = tensor
    return found


def _check_growth(run: str | Path, bits: int, loss: float, now: float, limit: float) -> None:
    """Refuse a loss that has grown by more than the share `limit`, or is no number."""
    if not now <= loss * (1 + limit):
        raise RunError(
            f"{run}: in {bits} bits the loss grows from {loss:.4f} to {now:.4f}, by "
            f"{now / loss - 1:.2%}, and at most {limit:.2%} is accepted; nothing was kept; "
            f"{'take --bits 8, or ' if bits == 4 else ''}accept more with --limit"
        )
