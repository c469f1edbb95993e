"""Whether a step may be taken: a loss or gradient that is no number, or a loss that leapt up."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from groundup.base.errors import RunError
from groundup.config import Safeguards

WINDOW, LEAST = 100, 50
"""Recent losses that a new one is held against, at most and at least."""
NORMAL = 1.4826
"""The standard deviation of a normal distribution over its median absolute deviation."""
SLOWED = 0.5
"""What the learning rate is multiplied by when a run goes back."""
MOST_RETURNS = 3
"""Times that a run goes back before it gives up."""


class DivergedError(RunError):
    """A run that cannot go on by itself: its losses or gradients are no numbers, or leap."""

    exit_status = 4
    known_to_all = True


@dataclass(frozen=True)
class Trouble:
    """Something wrong with a step that was about to be taken."""

    kind: str
    """not finite, or spike."""
    text: str
    policy: str
    """What is done: stop, skip, back or, of a spike, report."""


def examine(
    loss: float, norm: float, recent: Sequence[float], config: Safeguards
) -> Trouble | None:
    """Return what is wrong with a step of this loss (nats) and gradient norm, if anything."""
    for name, value in (("loss", loss), ("gradient", norm)):
        if not math.isfinite(value):
            return Trouble("not finite", f"the {name} is not finite", config.on_nonfinite)
    if config.on_spike == "ignore":
        return None
    score = robust_z(loss, recent)
    # A loss that stays high is told of once.
    if score > config.spike_score >= robust_z(recent[-1], recent[:-1]):
        text = f"the loss leapt to {loss:.4g}, {score:.0f} deviations above its recent median"
        return Trouble("spike", text, config.on_spike)
    return None


def robust_z(value: float, recent: Sequence[float]) -> float:
    """Return how many deviations `value` lies above the median of `recent`; 0 of too few.

    By the median absolute deviation, which a spike among the recent ones hardly changes (Iglewicz
    and Hoaglin, 1993). A deviation is taken to be at least a thousandth of the median.
    """
    if len(recent) < LEAST:
        return 0.0
    middle = statistics.median(recent)
    deviation = NORMAL * statistics.median(abs(one - middle) for one in recent)
    return (value - middle) / max(deviation, 1e-3 * abs(middle), 1e-12)
