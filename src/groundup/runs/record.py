"""What a run folder tells about its run, read once."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from groundup.base.lock import is_locked
from groundup.config import GPTConfig, Parameter, foreign_parts
from groundup.plan import count_parameters
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

    @property
    def parameters(self) -> int:
        """Number of values in the model; a tied output head counts once."""
        return n_parameters(self.manifest, self.config, self.stored)

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
        return steps_of(self.manifest)

    @cached_property
    def best(self) -> dict[str, Any]:
        """The row with the lowest validation loss, or {} where none was measured."""
        measured = [row for row in self.rows if math.isfinite(number(row.get("val_loss")))]
        return min(measured, key=lambda row: number(row["val_loss"]), default={})

    @property
    def verdict(self) -> str:
        """What the curves mean, in words; "" where nothing was trained."""
        return so_far(self.curves, self.step, self.state)

    @cached_property
    def curves(self) -> str:
        """The same, whether the run is finished or not."""
        told = (self.manifest.train or {}).get("on_spike") != "ignore"
        losses = self.points("train_loss"), self.points("val_loss")
        return verdict(*losses, tells_leaps=told)

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


def n_parameters(
    manifest: Manifest, config: GPTConfig, stored: tuple[Parameter, ...] | None
) -> int:
    """Return the number of values in a model, of those `stored` where only they tell it."""
    if stored == ():
        return (manifest.plan and manifest.plan.parameters) or 0
    return _counted(config, stored)


@functools.lru_cache(1024)
def _counted(config: GPTConfig, stored: tuple[Parameter, ...] | None) -> int:
    return count_parameters(config, stored).total


def steps_of(manifest: Manifest) -> int | None:
    """Return the steps of a whole run, where run.toml says so."""
    steps = number((manifest.train or {}).get("steps"))
    return int(steps) if math.isfinite(steps) and steps else None


def so_far(words: str, step: int, state: str) -> str:
    """Return what curves mean, with the step where they end if they are to go on."""
    if not words or state == "finished":
        return words
    return f"Up to step {step:,}: {words[0].lower()}{words[1:]}"


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
        state=state_of(folder, past_state(manifest, line), has_begun=bool(line)),
    )


def past_state(manifest: Manifest, last_line: dict[str, Any]) -> str:
    """Return quantized, imported, saved or finished; "" of a run that trains, or is to.

    `last_line` is that of its metrics. A finished run that was lengthened is finished no longer.
    """
    if manifest.quantization:
        return "quantized"
    if not last_line:
        return "imported" if manifest.source else "saved" if manifest.saved else ""
    ended = last_line.get("event") == "finished"
    is_short = number(last_line.get("step")) < number((manifest.train or {}).get("steps"))
    return "finished" if ended and not is_short else ""


def state_of(folder: RunFolder, past: str, *, has_begun: bool) -> str:
    """Return the `past_state` of a run, or else running, interrupted or empty."""
    if past:
        return past
    if is_locked(folder.lock):
        return "running"
    return "interrupted" if has_begun or list_checkpoints(folder.checkpoints) else "empty"
