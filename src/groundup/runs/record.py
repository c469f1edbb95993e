"""What a run folder tells about its run, read once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from groundup.base.lock import is_locked
from groundup.config import GPTConfig, Parameter, foreign_parts, parameter_shapes
from groundup.runs.assistant import ASSISTANT, GRPO, OF_PAIRS, objective_of
from groundup.runs.checkpoint import list_checkpoints
from groundup.runs.classifier import CLASSIFIER
from groundup.runs.folder import RunFolder
from groundup.runs.foreign import stored_parameters
from groundup.runs.manifest import Manifest
from groundup.runs.metrics import read_lines
from groundup.runs.verdict import verdict

Point = tuple[float, float]

LOSS_UNITS = {CLASSIFIER: "text", ASSISTANT: "token of the replies", GRPO: "question"}
LOSS_UNITS |= dict.fromkeys(OF_PAIRS, "pair of replies")
"""What a loss is the mean over, by the kind of training or the objective; else, a token."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run as its files tell it; `rows` holds the metrics with one row a step, in order."""

    path: Path
    manifest: Manifest
    rows: list[dict[str, Any]]
    last_event: dict[str, Any]
    """The newest line with an `event`, unless training has gone on since; {} without one."""
    samples: list[dict[str, Any]]
    state: str

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.resolve().name

    @cached_property
    def config(self) -> GPTConfig:
        """The model's shape."""
        return RunFolder(self.path).model_config(self.manifest)

    @cached_property
    def stored(self) -> tuple[Parameter, ...] | None:
        """The parameters as a checkpoint has them, where only that tells what a part of them is."""
        return stored_parameters(RunFolder(self.path)) if foreign_parts(self.config) else None

    @cached_property
    def parameters(self) -> int:
        """Number of values in the model; a tied output head counts once."""
        if self.stored == ():
            return (self.manifest.plan and self.manifest.plan.parameters) or 0
        return sum(p.size for p in self.stored or parameter_shapes(self.config))

    @property
    def loss_unit(self) -> str:
        """What a loss is the mean over."""
        kind = self.manifest.kind
        return LOSS_UNITS.get(objective_of(self.manifest) or kind, LOSS_UNITS.get(kind, "token"))

    @property
    def loss_name(self) -> str:
        """What a loss is, and of what it is the mean: nats, but of a reward."""
        is_reward = objective_of(self.manifest) == GRPO
        return f"{'wrong replies' if is_reward else 'nats'} per {self.loss_unit}"

    @property
    def step(self) -> int:
        """Steps taken so far."""
        return int(self.rows[-1]["step"]) if self.rows else 0

    @property
    def steps(self) -> int | None:
        """Steps of the whole run, where run.toml says so."""
        steps = _steps(self.manifest)
        return int(steps) if math.isfinite(steps) and steps else None

    @cached_property
    def best(self) -> dict[str, Any]:
        """The row with the lowest validation loss, or {} where none was measured."""
        measured = [row for row in self.rows if math.isfinite(number(row.get("val_loss")))]
        return min(measured, key=lambda row: number(row["val_loss"]), default={})

    @cached_property
    def verdict(self) -> str:
        """What the curves mean, in words; "" where nothing was trained."""
        told = (self.manifest.train or {}).get("on_spike") != "ignore"
        losses = self.points("train_loss"), self.points("val_loss")
        words = verdict(*losses, tells_leaps=told)
        if not words or self.state == "finished":
            return words
        return f"Up to step {self.step:,}: {words[0].lower()}{words[1:]}"

    def points(self, key: str, x: str = "step") -> list[Point]:
        """Return (x, key) of every row that holds both; a value that is no number is NaN."""
        return [(number(row[x]), number(row[key])) for row in self.rows if key in row and x in row]

    def last(self, key: str) -> float | None:
        """Return the latest finite value of `key`."""
        values = (number(row.get(key)) for row in [self.last_event, *reversed(self.rows)])
        return next((value for value in values if math.isfinite(value)), None)


def number(value: Any) -> float:
    """Return `value` as a number, NaN where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def read_run(path: Path) -> RunRecord:
    """Read a run folder; one that is damaged or no run is a one-line `RunError`."""
    folder = RunFolder(path)
    manifest = folder.read()
    rows: dict[int, dict[str, Any]] = {}
    line: dict[str, Any] = {}
    last_event: dict[str, Any] = {}
    for line in read_lines(folder.metrics):
        step = number(line.get("step"))
        if "event" in line:  # kept apart: its loss is over the whole split, the curve's is not
            last_event = line
        elif math.isfinite(step):
            rows.setdefault(int(step), {}).update(line)
    if rows and number(last_event.get("step")) < max(rows):
        last_event = {}  # of a run that has been lengthened since, or of a step in its course
    return RunRecord(
        path=path,
        manifest=manifest,
        rows=[rows[step] for step in sorted(rows)],
        last_event=last_event,
        samples=list(read_lines(folder.samples)),
        state=_made(manifest, line) or run_state(folder, line, _steps(manifest)),
    )


def _steps(manifest: Manifest) -> float:
    return number((manifest.train or {}).get("steps"))


def _made(manifest: Manifest, last_line: dict[str, Any]) -> str:
    """Return how the folder was made, "" where by training."""
    if manifest.quantization:
        return "quantized"
    if last_line:
        return ""
    return "imported" if manifest.source else "saved" if manifest.saved else ""


def run_state(folder: RunFolder, last_line: dict[str, Any], steps: float) -> str:
    """Return finished, running, interrupted or empty, from the last line of the metrics.

    A finished run that was lengthened to more `steps` is finished no longer.
    """
    if last_line.get("event") == "finished" and not number(last_line.get("step")) < steps:
        return "finished"
    if is_locked(folder.lock):
        return "running"
    return "interrupted" if last_line or list_checkpoints(folder.checkpoints) else "empty"
