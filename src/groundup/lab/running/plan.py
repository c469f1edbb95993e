"""What is measured at a scale, how long it takes, and the scale that fills a budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from groundup.base.errors import UsageError, nearest, shown
from groundup.lab.experiment import Study
from groundup.lab.running.tasks import Task, Work

TRIES = 6
"""Scales that are tried for a budget."""
LARGEST = 1000.0
"""Times the least scale: what is not run, or costs next to nothing, grows with it, too."""
FILLED = 0.85
"""Share of a budget that is as good as all of it."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The studies that are run, and their cells."""

    work: Work
    studies: Sequence[Study]
    tasks: Sequence[Task]
    processes: int

    @classmethod
    def of(cls, work: Work, only: str | None, processes: int) -> Plan:
        """Return the plan of all studies, or of those that `only` names or whose kind it is."""
        studies = [s for s in work.studies if only in (None, s.name, s.kind, _word(s.kind))]
        if not studies:
            names = [
                *dict.fromkeys(_word(s.kind) for s in work.studies),
                *(s.name for s in work.studies),
            ]
            raise UsageError(f"--only {shown(only)}: no such study; {nearest(str(only), names)}")
        return cls(work=work, studies=studies, tasks=work.tasks(studies), processes=processes)

    def seconds(self, one_core: float | None) -> float | None:
        """Return how long work of so many seconds takes on all processes."""
        return None if one_core is None else one_core / self.processes


def _word(kind: str) -> str:
    """Return a kind of study as one word for --only."""
    return kind.replace(" ", "-")


def fitting_scale(seconds_at: Callable[[float], float], least: float, budget: float) -> float:
    """Return a scale from `least` on that takes about `budget` seconds, and not more.

    `seconds_at` estimates what a scale takes; that of `least` fits.
    """
    scale, seconds = least, seconds_at(least)
    above: tuple[float, float] | None = None  # a scale that takes too long, and what it takes
    for _ in range(TRIES):
        if seconds > FILLED * budget:
            break
        if above is None:
            tried = min(scale * budget / seconds, LARGEST * least)
        else:  # on a straight line between both, of logarithms
            share = math.log(budget / seconds) / math.log(above[1] / seconds)
            tried = scale * (above[0] / scale) ** min(max(share, 0.1), 0.9)
        taken = seconds_at(tried)
        if taken <= seconds:  # what is run does not grow
            break
        if taken <= budget:
            scale, seconds = tried, taken
        else:
            above = tried, taken
    return scale
