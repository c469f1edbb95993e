"""How long cells take: from those that were measured, and from a few steps of others."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from groundup.lab.running.tasks import Task

SHORT, LONGER = 2, 10
"""Steps of two trainings whose difference tells how long a step takes."""


class Cost(NamedTuple):
    """Seconds of a cell: some for a start and an end, and so many for each step."""

    fixed: float
    per_step: float

    def of(self, steps: int) -> float:
        """Return the seconds of so many steps."""
        return self.fixed + self.per_step * steps


class Costs:
    """What is known of how long cells take."""

    def __init__(self) -> None:
        self._known: dict[str, list[Cost]] = defaultdict(list)
        self._at: dict[str, dict[float, list[Cost]]] = defaultdict(lambda: defaultdict(list))
        """By study and swept value, of whatever arm."""

    def add(self, task: Task, seconds: float) -> None:
        """Take in how long a cell took that was measured."""
        self._add(task, Cost(0.0, seconds / task.steps))

    def add_timing(self, task: Task, short: float, longer: float) -> None:
        """Take in how many seconds trainings of `SHORT` and of `LONGER` steps took."""
        per_step = max(longer - short, 0.0) / (LONGER - SHORT)
        self._add(task, Cost(max(short - SHORT * per_step, 0.0), per_step))

    def _add(self, task: Task, cost: Cost) -> None:
        self._known[task.likeness].append(cost)
        self._at[task.cell.study][task.cell.x].append(cost)

    def of(self, task: Task) -> float | None:
        """Return the seconds that a cell will take; None where nothing like it was timed."""
        if known := self._known.get(task.likeness):
            return statistics.fmean(cost.of(task.steps) for cost in known)
        points = {
            x: statistics.fmean(cost.of(task.steps) for cost in costs)
            for x, costs in self._at.get(task.cell.study, {}).items()
        }
        xs = sorted(points)
        return float(np.interp(task.cell.x, xs, [points[x] for x in xs])) if points else None

    def total(self, tasks: Iterable[Task]) -> float | None:
        """Return the seconds that cells will take in all, on one core."""
        found = [self.of(task) for task in tasks]
        return None if None in found else sum(seconds for seconds in found if seconds is not None)

    def to_time(self, tasks: Sequence[Task]) -> list[Task]:
        """Return the few cells that tell how long all take: of each study those at the ends."""
        chosen: dict[str, Task] = {}
        by_study: dict[str, list[Task]] = defaultdict(list)
        for task in tasks:
            by_study[task.cell.study].append(task)
        for of_study in by_study.values():
            first, last = of_study[0], of_study[-1]
            ends = [
                min((t for t in of_study if t.cell.arm == first.cell.arm), key=lambda t: t.cell.x),
                max((t for t in of_study if t.cell.arm == first.cell.arm), key=lambda t: t.cell.x),
                max((t for t in of_study if t.cell.arm == last.cell.arm), key=lambda t: t.cell.x),
            ]
            chosen |= {t.likeness: t for t in ends if t.likeness not in self._known}
        return list(chosen.values())
