"""A batch that something was wrong with, kept with the weights it met, and looked into again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from groundup.base.files import read_json, write_json
from groundup.model import GPT
from groundup.optim.step import TrainStep
from groundup.runs import RunFolder
from groundup.runs.checkpoint import (
    MODEL,
    discard,
    list_checkpoints,
    save_files,
    write_tensors,
)
from groundup.runs.foreign import check_own_parts
from groundup.runs.load import fill
from groundup.runs.tensor_file import map_safetensors
from groundup.train.choices import Choices
from groundup.train.kept import BATCH, WHY, kept_batch
from groundup.train.start import new_model

KEPT = 3
"""Batches kept of a run, the latest ones."""


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What a kept batch does to the model that met it."""

    step: int
    reason: str
    """Why it was kept."""
    tokens: Tensor
    """The batch (B, T)."""
    losses: list[float]
    """Mean loss of each sequence, in nats."""
    norms: list[float]
    """Norm of each sequence's gradient."""
    not_finite: list[str]
    """Parameters that hold a value that is no finite number."""
    first: str | None
    """The first module whose output is not finite, if any is, for any sequence."""


def keep_batch(
    folder: RunFolder,
    why: dict[str, Any],
    batch: Mapping[str, Tensor],
    model: Mapping[str, Tensor],
) -> None:
    """Write a batch, the weights and the reason into the run's replay folder."""
    files = {
        MODEL: lambda path: write_tensors(model, path),
        BATCH: lambda path: write_tensors(batch, path),
        WHY: lambda path: write_json(path, why),
    }
    save_files(folder.replay, why["step"], files)
    for old in list_checkpoints(folder.replay)[:-KEPT]:
        discard(old.path)


def replay(path: str | Path, step: int | None = None) -> Replay:
    """Put a kept batch, the latest unless told, through the model again, sequence by sequence.

    In the run's number format, on its device and without dropout. Raises `UsageError` where no such
    batch was kept and `RunError` where its files are damaged.
    """
    folder = RunFolder(Path(path))
    manifest = folder.read()
    config = folder.model_config(manifest)
    check_own_parts(config, folder.path)
    kept = kept_batch(folder, step)
    model = new_model(config, 0)
    fill(model, kept.model_tensors(), kept.path)
    choices = Choices(folder.train_config(manifest), {})
    batch = map_safetensors(kept.path / BATCH)
    why = read_json(kept.path / WHY)
    with choices.in_force():
        losses, norms, first = _each(model.to(choices.device), choices, batch)
    return Replay(
        step=kept.step,
        reason=why["reason"],
        tokens=batch["tokens"],
        losses=losses,
        norms=norms,
        not_finite=[n for n, p in model.named_parameters() if not p.isfinite().all()],
        first=first,
    )


def _each(
    model: GPT, choices: Choices, batch: Mapping[str, Tensor]
) -> tuple[list[float], list[float], str | None]:
    """Return the loss and the gradient's norm of each sequence, and where numbers first break."""
    losses, norms, first = [], [], None
    step = TrainStep(model, choices.config.loss, loss_chunk=choices.config.loss_chunk)
    model.eval()
    for tokens, targets in zip(batch["tokens"], batch["targets"], strict=True):
        with _Watch(model) as watch, choices.autocast():
            given = tokens[None].to(choices.device), targets[None].to(choices.device)
            loss_sum, n_targets = step(*given)
        loss_sum.backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        losses.append(float(loss_sum.detach() / n_targets))
        norms.append(float(nn.utils.get_total_norm(gradients)))
        model.zero_grad()
        first = first or watch.first
    return losses, norms, first


class _Watch:
    """Notes the first module whose output is not finite."""

    def __init__(self, model: nn.Module) -> None:
        self.first: str | None = None
        self._names = {module: name for name, module in model.named_modules()}
        leaves = [module for module in self._names if not any(module.children())]
        self._handles = [module.register_forward_hook(self._look) for module in leaves]

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _look(self, module: nn.Module, given: object, output: object) -> None:
        if self.first is None and isinstance(output, Tensor) and not output.isfinite().all():
            self.first = self._names[module]


def worst(replay: Replay, n: int) -> list[int]:
    """Return the sequences with the largest losses, those that are no numbers first."""

    def badness(i: int) -> tuple[bool, float]:
        finite = math.isfinite(replay.losses[i]) and math.isfinite(replay.norms[i])
        return finite, -replay.losses[i] if finite else 0.0

    return sorted(range(len(replay.losses)), key=badness)[:n]
