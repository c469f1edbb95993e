"""Writes what happens in training into the run folder."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import nn

from groundup.config import TrainConfig, as_table
from groundup.runs import RunFolder, append_line, cut_back
from groundup.runs.checkpoint import Checkpoint, prune, save_checkpoint
from groundup.train.loop import Progress
from groundup.train.optimizer import Optimizer, optimizer_tensors


class Recorder:
    """A `Listener` that keeps metrics, samples, settings and checkpoints of one run."""

    def __init__(self, folder: RunFolder, tables: dict[str, Any]) -> None:
        self.folder = folder
        self.tables = tables

    def resume_from(self, checkpoint: Checkpoint | None) -> None:
        """Forget the lines written after `checkpoint` (all of them for None)."""
        step = checkpoint.step if checkpoint else -1
        for path in (self.folder.metrics, self.folder.samples):
            cut_back(path, step)

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
        self.folder.write(self.tables)

    def save(self, progress: Progress, model: nn.Module, optimizer: Optimizer) -> None:
        """Write a checkpoint and drop those no longer needed."""
        save_checkpoint(
            self.folder.checkpoints,
            progress.step,
            dict(model.named_parameters()),
            optimizer_tensors(optimizer, model),
            dataclasses.asdict(progress),
        )
        prune(self.folder.checkpoints, keep=self.tables["train"]["keep"])
