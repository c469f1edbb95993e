"""Writes what happens in training into the run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from groundup.config import TrainConfig, as_table
from groundup.runs import RunFolder, append_line, cut_back, flush, size
from groundup.runs.background import Background
from groundup.runs.checkpoint import Checkpoint, prune, save_checkpoint
from groundup.runs.manifest import Manifest
from groundup.train.listener import Listener
from groundup.train.progress import SIZES, Progress
from groundup.train.replay import keep_batch


class Recorder(Listener):
    """Keeps metrics, samples, settings and checkpoints of one run."""

    def __init__(self, folder: RunFolder, tables: dict[str, Any]) -> None:
        self.folder = folder
        self.tables = tables
        self.background = Background()
        self.growing = {path.name: path for path in (folder.metrics, folder.samples)}

    def resume_from(self, checkpoint: Checkpoint | None) -> None:
        """Forget the lines written after `checkpoint` (all of them for None)."""
        step = checkpoint.step if checkpoint else -1
        sizes = checkpoint.state().get(SIZES, {}) if checkpoint else {}
        for name, path in self.growing.items():
            cut_back(path, step, sizes.get(name))

    def metrics(self, record: dict[str, Any]) -> None:
        """Append to metrics.jsonl."""
        append_line(self.folder.metrics, record)

    def sample(self, step: int, prompt: str, text: str) -> None:
        """Append to samples.jsonl."""
        append_line(self.folder.samples, {"step": step, "prompt": prompt, "text": text})

    def timed(self, config: TrainConfig, seconds_per_step: float) -> None:
        """Write the settings that follow from the measured speed, and the time foretold."""
        self.tables["train"] = as_table(config)
        self.tables["plan"]["seconds_per_step"] = round(seconds_per_step, 6)
        self.tables["plan"]["expected_seconds"] = round(seconds_per_step * config.steps, 3)
        self.folder.write(Manifest.of(self.tables))

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
        state = dataclasses.asdict(progress) | {SIZES: sizes}
        if self.tables["train"].get("save") != "background":
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
        settings = self.tables["train"]
        prune(self.folder.checkpoints, settings["keep"], settings.get("keep_every"))


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.to("cpu", copy=True) for name, tensor in tensors.items()}
