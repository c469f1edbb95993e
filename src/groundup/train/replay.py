"""A batch that something was wrong with, kept with the weights it met, and looked into again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from groundup.base.errors import RunError, UsageError, shown
from groundup.base.files import read_json
from groundup.optim.step import Step
from groundup.runs import RunFolder
from groundup.runs.foreign import check_own_parts
from groundup.runs.load import fill
from groundup.runs.manifest import PRETRAINING
from groundup.runs.own import check_named
from groundup.runs.tensor_file import map_safetensors
from groundup.train.choices import Choices
from groundup.train.job import Job
from groundup.train.kept import BATCH, WHY, kept_batch
from groundup.train.pretraining import Pretraining
from groundup.train.request import TrainRequest
from groundup.train.start import CHANGEABLE


def recorded_pretraining(folder: RunFolder) -> Pretraining:
    """Return the job of a run, which needs its text no more."""
    manifest = folder.read()
    model, base = asdict(folder.model_config(manifest)), manifest.base
    if base and base.run:
        check_named(folder, manifest, {base.run: "its base"})
    path = folder.path.resolve()
    return Pretraining(
        TrainRequest(
            base=Path(base.run) if base and base.run else None,
            model_changes={key: model[key] for key in (CHANGEABLE if base else model)},
            train=folder.train_config(manifest),
            run=path.name,
            runs_folder=path.parent,
        )
    )


Jobs = Mapping[str, Callable[[RunFolder], Job[Any]]]

JOBS: Jobs = {PRETRAINING: recorded_pretraining}
"""Makes the job of a run, by the kind of it that run.toml names; other rooms have more."""


def recorded_job(folder: RunFolder, jobs: Jobs = JOBS) -> Job[Any]:
    """Return the job of a run, of which `skeleton` and `step` may be asked."""
    manifest = folder.read()
    kind = manifest.kind
    if kind not in jobs:
        raise UsageError(
            f"{folder.path} is a training of the kind {shown(kind)}, of which {', '.join(jobs)} is "
            "known here; use the program that began it"
        )
    job, base = jobs[kind](folder), manifest.base
    if base and (job.base is None or job.base.sha256 != base.sha256):
        raise RunError(
            f"{folder.path} was learnt on top of step {base.step} of {base.run}, and the job of "
            "it took other weights; restore them"
        )
    return job


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What a kept batch does to the model that met it."""

    step: int
    reason: str
    """Why it was kept."""
    tokens: Tensor
    """The tokens of the batch (B, T); of no length where it has none."""
    losses: list[float]
    """Mean loss of each sequence, in nats."""
    norms: list[float]
    """Norm of each sequence's gradient."""
    not_finite: list[str]
    """Parameters that hold a value that is no finite number."""
    first: str | None
    """The first module whose output is not finite, if any is, for any sequence."""


def replay(path: str | Path, step: int | None = None, jobs: Jobs = JOBS) -> Replay:
    """Put a kept batch, the latest unless told, through the model again, sequence by sequence.

    By the step of the run's own job, in its number format, on its device and without dropout.
    `jobs` makes the job of each kind of training. Raises `UsageError` where no such batch was kept
    and `RunError` where its files are damaged.
    """
    folder = RunFolder(Path(path))
    manifest = folder.read()
    check_own_parts(folder.model_config(manifest), folder.path)
    kept = kept_batch(folder, step)
    job = recorded_job(folder, jobs)
    choices = Choices(folder.train_config(manifest), {})
    arrays = map_safetensors(kept.path / BATCH)
    batch = {name: array.to(choices.device) for name, array in arrays.items()}
    why = read_json(kept.path / WHY)
    with choices.in_force():
        learning = job.step(job.skeleton().to(choices.device), choices)
        fill(learning.kept(), kept.model_tensors(), kept.path)
        losses, norms, first = _each(learning, choices, batch)
    return Replay(
        step=kept.step,
        reason=why["reason"],
        tokens=batch.get("tokens", torch.empty(len(losses), 0)).cpu(),
        losses=losses,
        norms=norms,
        not_finite=[n for n, p in learning.model.named_parameters() if not p.isfinite().all()],
        first=first,
    )


def _each(
    step: Step[Any], choices: Choices, batch: Mapping[str, Tensor]
) -> tuple[list[float], list[float], str | None]:
    """Return the loss and the gradient's norm of each sequence, and where numbers first break."""
    losses, norms, first = [], [], None
    _without_dropout(step.worker)
    step.refresh()
    for row in range(len(next(iter(batch.values())))):
        arrays = {name: array[row : row + 1] for name, array in batch.items()}
        copied = step.narrow is not None
        with _Watch(step.worker) as watch, choices.step_context(copied=copied):
            loss_sum, n_targets = step(**arrays)
        loss_sum.backward()
        step.collect()
        gradients = [p.grad for p in step.model.parameters() if p.grad is not None]
        losses.append(float(loss_sum.detach() / n_targets.clamp(min=1)))
        norms.append(float(nn.utils.get_total_norm(gradients)))
        step.model.zero_grad()
        first = first or watch.first
    return losses, norms, first


def _without_dropout(model: nn.Module) -> None:
    """Let a model compute as in training, but for what is random."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout) or hasattr(module, "drop_rate"):
            module.training = False


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
