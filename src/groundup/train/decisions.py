"""What a training decides on its way, as its steps get slower or faster: threads, and how many fit.

A decision is in run.toml before the first step that it rules. A training that is started again
takes all that are there, at the steps at which they were taken; so it comes to the same bits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from groundup.base.errors import ConfigError
from groundup.config import TrainConfig
from groundup.config.fields import build, require
from groundup.runs.manifest import Manifest, invalid_manifest
from groundup.train.progress import Progress

RULED = ("steps", "eval_every", "eval_tokens")
"""Settings of a training that decisions rule."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """How long the run is, as far as is known at a step, and what follows from that."""

    step: int
    """The first step that it rules, counted from 0."""
    steps: int
    """Steps of the whole run."""
    place: float
    """Where on the schedule of the learning rate that step is, in steps of the schedule."""
    schedule: int
    """Steps that the schedule has, however many the run takes to come to its end."""
    eval_every: int | None = None
    """Steps from one validation to the next; None leaves it to their usual number."""
    eval_tokens: int | None = None
    """Tokens that each of them reads at most; None leaves it to their usual number."""
    final_tokens: int | None = None
    """Tokens that the last one reads at most; None is the whole split."""
    threads: int | None = None
    """CPU threads; None is as the run began."""

    def __post_init__(self) -> None:
        require(0 <= self.step < self.steps, "step", self.step, f"0 to below {self.steps}")
        require(0 <= self.place <= self.schedule, "place", self.place, f"0 to {self.schedule}")

    def as_table(self) -> dict[str, Any]:
        """Return what run.toml says of it."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    def place_of(self, step: int) -> float:
        """Return where on the schedule a step is: what is left is evenly spread over the rest."""
        left, more = self.schedule - 1 - self.place, self.steps - 1 - self.step
        return self.place + (step - self.step) * (left / more if more > 0 else 1.0)


class Decisions:
    """The decisions of a run, in the order of their steps; of most runs there are none."""

    def __init__(self, config: TrainConfig, taken: Sequence[Decision] = ()) -> None:
        self.config, self.taken = config, list(taken)
        self._schedule = config

    def at(self, step: int) -> Decision:
        """Return the one that rules a step; where none does, the run is as its settings say."""
        known = bisect_right(self.taken, step, key=lambda decision: decision.step)
        return self.taken[known - 1] if known else as_asked(self.config)

    def add(self, step: int, **changes: Any) -> None:
        """Decide something else than before, from a step on."""
        if not self.taken:
            self.taken.append(as_asked(self.config))
        ruling = self.at(step)
        decision = replace(ruling, **{"step": step, "place": ruling.place_of(step)} | changes)
        if ruling.step == step:
            self.taken.remove(ruling)
        self.taken.append(decision)

    def config_at(self, step: int) -> TrainConfig:
        """Return the settings by which a step is taken."""
        if self.taken:
            ruling = self.at(step)
            ruled = {name: getattr(ruling, name) for name in RULED}
            if any(getattr(self.config, name) != value for name, value in ruled.items()):
                self.config = replace(self.config, **ruled)
        return self.config

    def schedule_at(self, step: int) -> tuple[float, TrainConfig]:
        """Return where on the schedule of the learning rate a step is, and that schedule."""
        ruling = self.at(step)
        if self._schedule.steps != ruling.schedule:
            self._schedule = replace(self._schedule, steps=ruling.schedule)
        return ruling.place_of(step), self._schedule


def as_asked(config: TrainConfig) -> Decision:
    """Return the settings of a run as if they had been decided."""
    ruled: dict[str, Any] = {name: getattr(config, name) for name in RULED}
    return Decision(step=0, place=0, schedule=config.steps, **ruled)


def recorded(manifest: Manifest, path: Path) -> list[Decision]:
    """Return the decisions that the run.toml at `path` tells of, the first steps' first."""
    tables = (manifest.plan and manifest.plan.decisions) or []
    try:
        decisions = [build(Decision, table) for table in tables]
        steps = [decision.step for decision in decisions]
        expected = "steps one after the other, from 0 on"
        require(steps == sorted({0, *steps} if steps else ()), "step", steps, expected)
    except (ConfigError, TypeError) as error:
        raise invalid_manifest(path, f"the decisions of a run, but {error}") from error
    return decisions


def tell_undecided(
    taken: Sequence[Decision], progress: Progress, notice: Callable[[str], None]
) -> None:
    """Say up to where a training that goes on is the one it was, and what the clock decides."""
    if taken:
        step = max(taken[-1].step, progress.step)
        notice(
            f"goes on as decided up to step {step:,}; from there on its length and its threads are "
            "what suits the speed of this machine now"
        )
