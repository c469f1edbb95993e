"""From a run folder back to a model that can be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from groundup.adapters import merged_tensors
from groundup.base.errors import RunError, TokenizerError, UsageError, quoted, shown
from groundup.config import GPTConfig, Parameter, foreign_parts, parameter_shapes, part_of
from groundup.config.adaptation import DORA, LORA, is_adapter, shapes_of_adapters
from groundup.model import GPT, PARTS, Parts, empty_gpt, filled_gpt, shapes_with
from groundup.quantized import Codes, from_tensors, quantizable, swap_in
from groundup.runs.assistant import other_template
from groundup.runs.base import base_checkpoint
from groundup.runs.checkpoint import Checkpoint
from groundup.runs.choose import choose_checkpoint
from groundup.runs.folder import RunFolder
from groundup.runs.foreign import check_own_parts
from groundup.runs.manifest import (
    AdapterTable,
    BaseTable,
    Manifest,
    QuantizationTable,
    invalid_manifest,
)
from groundup.runs.tensor_check import check_tensors
from groundup.runs.tensor_file import Stored
from groundup.tokenizer import Tokenizer, load_tokenizer

MOST_EMPTY = 1000
"""Most layers of a model that is made for its shapes alone, unless the file has as many tensors."""


@dataclass(frozen=True)
class LoadedRun:
    """A model with its tokenizer and what run.toml says of its training."""

    model: GPT
    tokenizer: Tokenizer
    step: int
    manifest: Manifest
    notices: list[str]
    chat_template: str | None = None
    generation: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Tensor] = field(default_factory=dict)
    """What the run holds that a GPT lacks, such as a head: the job that made it attaches it."""

    def __repr__(self) -> str:
        return f"LoadedRun(step {self.step:,}, {self.model.extra_repr()}; {self.tokenizer!r})"


def load(
    path: str | Path,
    checkpoint: str | int = "best",
    device: str = "cpu",
    parts: Parts = PARTS,
) -> LoadedRun:
    """Return the model of a run folder, in evaluation mode and in fp32.

    `checkpoint` is "best" (lowest validation loss), "latest" or a step number. Every file is
    checked against its manifest first; a damaged checkpoint is passed over, with a notice.
    Weights that are stored in 16 bits are widened: few CPUs compute faster in fewer bits. Those
    that `groundup quantize` stored in 8 or 4 stay as they are, and compute on CPUs only.
    `parts` are those that the model was made with, where groundup does not have one of them.

    A run that holds only what it learnt is put together with its base, which is proved by its hash;
    where this is gone or another, a `RunError` says so. Adapters are merged. Other tensors that a
    GPT lacks are in `extra`.
    """
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise UsageError(f"device = {quoted(device)}: expected cpu, cuda or mps") from None
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(kind, True):
        raise UsageError(f"device = {quoted(device)}: not on this machine; use 'cpu'")
    folder = RunFolder(Path(path))
    manifest = folder.read()
    config = folder.model_config(manifest)
    if parts is PARTS:
        check_own_parts(config, folder.path)
    chosen, notices = choose_checkpoint(folder, str(checkpoint))
    return _loaded(folder, manifest, chosen, notices, device, parts)


def load_base(
    folder: RunFolder, base: BaseTable, device: str = "cpu", named: bool = False
) -> LoadedRun:
    """Return the base of the run in `folder`: the very checkpoint that `base` names, proved.

    `groundup.runs.base.base_of` finds which it is; the user may have `named` it. Raises `RunError`
    where it is gone or another.
    """
    there, checkpoint = base_checkpoint(folder, base, named)
    manifest = there.read()
    check_own_parts(there.model_config(manifest), there.path)
    return _loaded(there, manifest, checkpoint, [], device, PARTS)


def _loaded(
    folder: RunFolder,
    manifest: Manifest,
    chosen: Checkpoint,
    notices: list[str],
    device: str,
    parts: Parts,
) -> LoadedRun:
    """Return the model of a checkpoint that is known to be intact."""
    config = folder.model_config(manifest)
    tensors = stored_tensors(folder, manifest, chosen)
    extra = take_extra(manifest, tensors, chosen.path)
    check_shapes(config, tensors, chosen.path, parts=parts)
    if any(isinstance(tensor, Codes) for tensor in tensors.values()):
        if device != "cpu":
            raise UsageError(
                f"--device {device}: {folder.path} holds quantised weights, which compute on CPUs "
                "only; use --device cpu, or the run that they were made from"
            )
        model = empty_gpt(config)
        made = manifest.quantization or QuantizationTable()
        swap_in(model, tensors, made.vector_bits or 8)
    else:
        model = filled_gpt(config, cast("dict[str, Tensor]", tensors), parts)
        model = model.to(device, torch.float32)
    template = folder.read_chat_template()
    return LoadedRun(
        model=model.eval(),
        tokenizer=run_tokenizer(folder, manifest),
        step=chosen.step,
        manifest=manifest,
        notices=[*notices, *other_template(manifest, template)],
        chat_template=template,
        generation=folder.read_generation(),
        extra={name: tensor.to(device, torch.float32) for name, tensor in extra.items()},
    )


def stored_tensors(
    folder: RunFolder, manifest: Manifest, checkpoint: Checkpoint
) -> dict[str, Tensor | Codes]:
    """Return what a checkpoint holds, over the weights of the run's base where it has one.

    Adapters are merged: what they change is there in fp32, and they themselves are not.
    """
    own = from_tensors(checkpoint.model_tensors(), checkpoint.path)
    if manifest.base is None:
        return own
    there, base = base_checkpoint(folder, manifest.base)
    tensors = stored_tensors(there, there.read(), base) | own
    return _merged(folder, manifest, tensors, checkpoint.path) if manifest.adapter else tensors


def _merged(
    folder: RunFolder, manifest: Manifest, tensors: dict[str, Tensor | Codes], source: Path
) -> dict[str, Tensor | Codes]:
    """Return the tensors of a whole model: the adapters among them become part of the others."""
    table = manifest.adapter or AdapterTable()
    method, rank, alpha = table.method, table.rank or 0, table.alpha or 0.0
    if method not in (LORA, DORA) or rank < 1 or not alpha > 0:
        expected = "method = lora or dora, a rank and an alpha above 0 in [adapter]"
        raise invalid_manifest(folder.manifest, f"{expected}, but found {quoted(table.as_table())}")
    adapters = {name: tensors.pop(name) for name in list(tensors) if is_adapter(name)}
    whole = (Parameter(n, tuple(tensor.shape), part_of(n)) for n, tensor in tensors.items())
    known = adapters.keys() | manifest.adapters.keys()
    shapes = shapes_of_adapters(whole, method, rank)
    check_tensors(
        adapters, ((n, s) for n, s in shapes if n in known), source, "run.toml's [adapter]"
    )
    plain, thin = cast("tuple[dict[str, Tensor], dict[str, Tensor]]", (tensors, adapters))
    return {**tensors, **merged_tensors(plain, thin, alpha / rank)}


def take_extra(
    manifest: Manifest, tensors: dict[str, Tensor | Codes], source: Path
) -> dict[str, Tensor]:
    """Take out of `tensors` those that run.toml says a GPT lacks, and check them."""
    shapes = {name: tuple(shape) for name, shape in manifest.extra.items()}
    extra = {name: tensors.pop(name) for name in shapes if name in tensors}
    check_tensors(extra, shapes.items(), source, "run.toml's [job]")
    return cast("dict[str, Tensor]", extra)


def load_tensors(
    folder: RunFolder, manifest: Manifest, checkpoint: Checkpoint
) -> dict[str, Tensor | Codes]:
    """Return the tensors of a whole GPT, as `stored_tensors` puts them together, checked."""
    tensors = stored_tensors(folder, manifest, checkpoint)
    check_shapes(folder.model_config(manifest), tensors, checkpoint.path)
    return tensors


def run_tokenizer(folder: RunFolder, manifest: Manifest) -> Tokenizer:
    """Return the tokenizer of a run, or raise `RunError` where another lies in its place."""
    tokenizer = load_tokenizer(folder.tokenizer)
    if tokenizer.fingerprint != manifest.data.tokenizer_fingerprint:
        kept = manifest.data.folder
        raise RunError(
            f"{folder.tokenizer} is not the tokenizer that this run was made with; restore the "
            f"run's own{f', which also lies in {shown(kept, 200)}' if kept else ''}"
        )
    end = folder.read_generation().get("end_of_text")
    try:
        return tokenizer if end is None else tokenizer.ending(end)
    except TokenizerError as error:
        raise RunError(f"{folder.generation}: {error}; correct or remove it") from None


@torch.no_grad()
def fill(parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor], source: Path) -> None:
    """Copy the tensors of `source` into parameters of the same names, which stay where they are."""
    check_fit(parameters, tensors, source)
    for name, parameter in parameters.items():
        parameter.copy_(tensors[name])


def check_fit(
    parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor], source: Path
) -> None:
    """Raise `RunError` naming the tensors of `source` that are not those of the parameters."""
    shapes = ((name, tuple(parameter.shape)) for name, parameter in parameters.items())
    check_tensors(tensors, shapes, source, "run.toml's [model]")


def check_shapes(
    config: GPTConfig,
    tensors: Mapping[str, Tensor | Codes | Stored],
    source: Path,
    of: str = "run.toml's [model]",
    parts: Parts = PARTS,
) -> None:
    """Raise `RunError` naming the tensors of `source` that no model of this shape has, or lacks."""
    if foreign_parts(config) and config.n_layers > max(MOST_EMPTY, len(tensors)):
        fewer = f"{len(tensors):,} tensors are too few for {config.n_layers:,} layers"
        raise RunError(f"{source} does not fit {of}: {fewer}")
    check_tensors(tensors, ((p.name, p.shape) for p in shapes_with(config, parts)), source, of)
    codes = {name for name, tensor in tensors.items() if isinstance(tensor, Codes)}
    for parameter in parameter_shapes(config) if codes else ():
        if parameter.name in codes and not quantizable(parameter):
            problem = f"{parameter.name} is quantised, which only matrices are"
            raise RunError(f"{source} does not fit {of}: {problem}")
