"""What remains of a training: nothing, or a run folder from which it goes on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from groundup.base.files import make_folder
from groundup.config import TrainConfig, as_table
from groundup.device.machine import machine
from groundup.device.rates import matmul_rate
from groundup.plan import Plan
from groundup.report import write_report
from groundup.runs import RunFolder, append_line, cut_back, flush, run_lock, size
from groundup.runs.background import Background
from groundup.runs.checkpoint import (
    Checkpoint,
    newest_intact,
    prune,
    remove_unfinished,
    save_checkpoint,
)
from groundup.runs.manifest import PRETRAINING, Manifest, PlanTable
from groundup.runs.own import sealed
from groundup.train.automatic import AUTOMATIC
from groundup.train.choices import Choices
from groundup.train.decisions import Decision
from groundup.train.job import Job
from groundup.train.kept import keep_batch
from groundup.train.listener import Listener
from groundup.train.progress import SIZES, Progress
from groundup.train.resume import versions


class Keeper(Listener):
    """Keeps nothing: for a training in memory."""

    folder = RunFolder(Path(os.devnull))
    """Where the run is; here there is none."""

    def decided(self) -> TrainConfig | None:
        """Return what was decided when the run began; None where none has."""
        return None

    def locked(self) -> AbstractContextManager[None]:
        """Return the context in which nobody else may write here."""
        return contextlib.nullcontext()

    def newest(self, notice: Callable[[str], None]) -> int | None:
        """Return the step of the newest checkpoint, if any; tell of newer ones that are damaged."""
        return None

    def checkpoint(self, step: int | None) -> Checkpoint | None:
        """Return the checkpoint of a step, None of no step."""
        return None if step is None else Checkpoint.at(self.folder.checkpoints, step)

    def peak_flops(self, choices: Choices) -> float | None:
        """Return what the machine can do at most, where the work is to be held against it."""
        return None

    def begin(self, manifest: Manifest, job: Job[Any], checkpoint: Checkpoint | None) -> None:
        """Write what is known from the beginning; forget what came after the checkpoint."""

    def rewind(self) -> int | None:
        """Forget what came after the newest checkpoint; return its step, None without any."""
        return None

    def report(self, is_finished: bool) -> None:
        """Put what is kept on a page."""


class Recorder(Keeper):
    """Keeps metrics, samples, settings and checkpoints of one run in its folder."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.background = Background()
        self.growing = {path.name: path for path in (folder.metrics, folder.samples)}

    def decided(self) -> TrainConfig | None:
        """Return what was decided when the run began; None where none has."""
        if self.folder.exists() and (manifest := self.folder.read()).request:
            return self.folder.train_config(manifest)
        return None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock; clear up what a kill left, and the folder where no run came of it."""
        folder = self.folder
        make_folder(folder.path.parent)
        with run_lock(folder.lock):
            try:
                for written in (folder.path, folder.checkpoints):
                    remove_unfinished(written)
                yield
            finally:
                if not folder.exists():
                    with contextlib.suppress(OSError):
                        folder.lock.unlink(missing_ok=True)
                        folder.path.rmdir()

    def newest(self, notice: Callable[[str], None]) -> int | None:
        """Return the step of the newest checkpoint, if any; tell of newer ones that are damaged."""
        checkpoint, damaged = newest_intact(self.folder.checkpoints)
        so = "going on from the newest intact checkpoint" if checkpoint else "beginning anew"
        for line in damaged:
            notice(f"{line}; {so}")
        if checkpoint and not damaged and (config := self.decided()):
            prune(self.folder.checkpoints, config.keep, config.keep_every)  # as a kill has not
        return checkpoint.step if checkpoint else None

    def peak_flops(self, choices: Choices) -> float:
        """Return what the machine can do at most, measured."""
        return matmul_rate(choices.device, choices.matmul_dtype)

    def begin(self, manifest: Manifest, job: Job[Any], checkpoint: Checkpoint | None) -> None:
        """Write what is known from the beginning; forget what came after the checkpoint."""
        self._write_manifest(manifest if self.folder.exists() else sealed(manifest))
        job.write(self.folder)
        self._cut_back(checkpoint)
        self.folder.report.unlink(missing_ok=True)  # it tells of less, and would outlive a kill

    def rewind(self) -> int | None:
        """Forget what came after the newest checkpoint; return its step, None without any."""
        checkpoint, _ = newest_intact(self.folder.checkpoints)
        if checkpoint is not None:
            self._cut_back(checkpoint)
        return checkpoint.step if checkpoint else None

    def _cut_back(self, checkpoint: Checkpoint | None) -> None:
        """Forget the lines written after `checkpoint` (all of them for None)."""
        step = checkpoint.step if checkpoint else -1
        sizes = checkpoint.state().get(SIZES, {}) if checkpoint else {}
        for name, path in self.growing.items():
            cut_back(path, step, sizes.get(name))

    def report(self, is_finished: bool) -> None:
        """Write the report."""
        write_report(self.folder.path, None if is_finished else "interrupted")

    def metrics(self, record: dict[str, Any]) -> None:
        """Append to metrics.jsonl."""
        append_line(self.folder.metrics, record)

    def sample(self, step: int, prompt: str, text: str) -> None:
        """Append to samples.jsonl."""
        append_line(self.folder.samples, {"step": step, "prompt": prompt, "text": text})

    def decided_anew(
        self,
        config: TrainConfig,
        decisions: Sequence[Decision],
        seconds_per_step: float | None,
    ) -> None:
        """Write them, before a step is taken by them."""
        plan = self.manifest.plan or PlanTable()
        if decisions:
            plan = replace(plan, decisions=[decision.as_table() for decision in decisions])
        if seconds_per_step is not None:
            plan = replace(
                plan,
                seconds_per_step=round(seconds_per_step, 6),
                expected_seconds=round(seconds_per_step * config.steps, 3),
            )
        self._write_manifest(replace(self.manifest, train=as_table(config), plan=plan))

    def _write_manifest(self, manifest: Manifest) -> None:
        self.manifest, self.config = manifest, self.folder.train_config(manifest)
        self.folder.write(manifest)

    def trouble(
        self, record: dict[str, Any], batch: Mapping[str, Tensor], model: Mapping[str, Tensor]
    ) -> None:
        """Keep a batch that something is wrong with, and the model that was to learn from it."""
        keep_batch(self.folder, record, batch, model)

    def save(
        self, progress: Progress, model: Mapping[str, Tensor], trainer: Mapping[str, Tensor]
    ) -> None:
        """Write a checkpoint and drop those no longer needed."""
        sizes = {name: size(path) for name, path in self.growing.items()}
        state = asdict(progress) | {SIZES: sizes}
        if self.config.save != "background":
            self._write(progress.step, model, trainer, state)
            return
        copies = _copied(model), _copied(trainer)
        self.background.submit(partial(self._write, progress.step, *copies, state))

    def confirm(self, wait: bool) -> None:
        """Raise what went wrong with the last checkpoint; `wait` until it is written."""
        self.background.confirm(wait)

    def _write(
        self,
        step: int,
        model: Mapping[str, Tensor],
        trainer: Mapping[str, Tensor],
        state: dict[str, Any],
    ) -> None:
        for path in self.growing.values():
            flush(path)
        save_checkpoint(self.folder.checkpoints, step, model, trainer, state)
        prune(self.folder.checkpoints, self.config.keep, self.config.keep_every)


def new_manifest(
    job: Job[Any], choices: Choices, request: dict[str, Any], decided: Mapping[str, Any]
) -> Manifest:
    """Return a new run's run.toml; `decided` is what the job says of itself."""
    settings = choices.config
    if settings.epochs is not None:  # the data has been read, and its length is known
        settings = replace(settings, steps=job.steps(settings.epochs, settings))
    taken = {name: getattr(settings, name) for name in AUTOMATIC}
    return Manifest.of(
        {
            "model": as_table(job.config),
            "train": as_table(settings),
            "data": job.data_table(),
            **_kind(job, decided),
            "choices": {**taken, "reasons": choices.reasons},
            "request": request,
            **computing(choices),
        }
    )


def _kind(job: Job[Any], decided: Mapping[str, Any]) -> dict[str, Any]:
    """Return what run.toml says of the kind of training; nothing where that goes without saying."""
    tables: dict[str, Any] = {}
    if job.kind != PRETRAINING or job.extra:
        tensors = {name: list(shape) for name, shape in job.extra.items()}
        tables["job"] = {"kind": job.kind, **decided, "tensors": tensors}
    if job.base is not None:
        tables["base"] = job.base.as_table()
    if (s := job.settings).adapts:
        tables["adapter"] = {"method": s.method, "rank": s.lora_rank, "alpha": s.lora_alpha}
    return tables


def computing(choices: Choices) -> dict[str, Any]:
    """Return what run.toml says of the packages and the machine that compute."""
    return {"versions": versions(), "machine": machine(choices.device)}


def with_plan(manifest: Manifest, plan: Plan) -> Manifest:
    """Return run.toml with what the run takes; what was written there before stays."""
    planned = {
        "parameters": plan.parameters,
        "flops_per_token": plan.flops_per_token,
        "memory_mib": {name: round(size / 2**20, 1) for name, size in plan.memory.items()},
        "memory_unknown": list(plan.unknown_memory),
    }
    known = {key: value for key, value in planned.items() if value}
    before = manifest.plan.as_table() if manifest.plan else {}
    return replace(manifest, plan=PlanTable.of(known | before))


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.to("cpu", copy=True) for name, tensor in tensors.items()}
