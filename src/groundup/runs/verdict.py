"""What the curves of a run mean, in a sentence or two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median, pstdev

from groundup.base.words import counted

Points = Sequence[tuple[float, float]]

FEWEST = 3
"""Validations after the first step without which nothing is said."""
LAST = 0.25
"""Share of the steps so far over which a fall is measured."""
MOVED = 0.005
"""A validation loss that moved by less than this share of itself is flat."""
OVERFITTED = 0.02
"""A validation loss this share above its lowest, in two validations or more, has risen."""
SMALL = 0.5
"""Losses below are compared as if they were so large: a share of next to nothing is nothing."""
DIVERGED = 0.1
"""A training loss this share above its lowest, in medians of tenths of the run, has risen."""
FEWEST_LINES = 5
"""In a tenth of the run; in shorter runs a rise is not told from noise."""
NOISE = 3.0
"""So many standard deviations of the lines in a tenth are no rise."""
BEFORE = 20
"""Lines of training with whose median a line is compared to find a leap."""
LEAP = 10.0
"""A line so many median absolute deviations above that median, and by `DIVERGED` of it, leapt."""


def verdict(training: Points, validation: Points, *, tells_leaps: bool = True) -> str:
    """Say whether a run still learns, is done, overfits or diverged, "" before its first line.

    Both are (step, loss) in the order of the steps; a loss may be NaN or infinite.
    """
    if not training:
        return ""
    if not math.isfinite(training[-1][1]):
        return "Diverged: the training loss is no finite number. Try a smaller learning_rate."
    finite = [p for p in training if math.isfinite(p[1])]
    learnt = [p for p in validation if p[0] > 0 and math.isfinite(p[1])]
    leaps = _leaps(finite) if tells_leaps else ""
    return _divergence(finite) or _course(finite, learnt) + leaps


def _course(training: Points, validation: Points) -> str:
    if len(validation) < FEWEST:
        return (
            f"Too few validations to say ({len(validation)} since the first step, {FEWEST} are "
            "needed): a smaller eval_every gives more."
        )
    return _overfitting(training, validation) or _slope(validation)


def _divergence(training: Points) -> str:
    """Compare the last tenth of the training with the best tenth before it."""
    size = len(training) // 10
    if size < FEWEST_LINES:
        return ""
    tenths = [training[i : i + size] for i in range(len(training) % size, len(training), size)]
    levels = [median(y for _, y in tenth) for tenth in tenths]
    low, last = min(levels), levels[-1]
    noise = median(pstdev(y for _, y in tenth) for tenth in tenths)
    if last - low <= max(_share(DIVERGED, low), NOISE * noise):
        return ""
    at = tenths[levels.index(low)][-1][0]
    return (
        f"Diverged: the training loss rose from {low:.4g} about step {at:,.0f} to {last:.4g}. "
        "Try a smaller learning_rate."
    )


def _overfitting(training: Points, validation: Points) -> str:
    step, best = min(validation, key=lambda p: p[1])
    since = [y for x, y in validation if x > step]
    if len(since) < 2 or min(since) - best <= 0 or since[-1] - best <= _share(OVERFITTED, best):
        return ""
    before, after = _level(training, step), _level(training, training[-1][0])
    if after >= before:
        return (
            f"Worse since step {step:,.0f}: the validation loss rose from {best:.4g} to "
            f"{since[-1]:.4g}, and the training loss did not fall. Try a smaller learning_rate."
        )
    return (
        f"Overfitting since step {step:,.0f}: the validation loss rose from {best:.4g} to "
        f"{since[-1]:.4g} while the training loss fell from {before:.4g} to {after:.4g}. More "
        "text, a smaller model or fewer steps would help."
    )


def _level(training: Points, step: float) -> float:
    """Return the training loss at a step: the median of the lines just before it."""
    lines = max(1, min(BEFORE, len(training) // 10))
    return median([y for x, y in training if x <= step][-lines:] or [training[0][1]])


def _share(share: float, loss: float) -> float:
    """Return a share of a loss."""
    return share * max(loss, SMALL)


def _slope(validation: Points) -> str:
    """Say how the validation loss moved over the last quarter of the steps."""
    first, (end, last) = validation[0], validation[-1]
    begin, before = max([first, *(p for p in validation if p[0] <= (1 - LAST) * end)])
    fell, steps = before - last, counted(round(end - begin), "step")
    if fell > _share(MOVED, last):
        return (
            f"Still falling: the validation loss fell by {fell:.2g} to {last:.4g} in "
            f"the last {steps}. More training would probably help."
        )
    if fell < -_share(MOVED, last):
        return (
            f"Rising: the validation loss rose by {-fell:.2g} to {last:.4g} in the last "
            f"{steps}. A few more validations will tell whether it overfits."
        )
    return (
        f"Flat: the validation loss hardly moved in the last {steps} ({before:.4g} to "
        f"{last:.4g}). More steps alone would hardly help."
    )


def _leaps(training: Points) -> str:
    leapt = []
    for i in range(BEFORE, len(training)):
        around = [y for _, y in training[i - BEFORE : i]]
        middle = median(around)
        rise = training[i][1] - middle
        if rise <= _share(DIVERGED, middle):  # as nearly always
            continue
        if rise > LEAP * median(abs(y - middle) for y in around):
            leapt.append(training[i][0])
    if not leapt:
        return ""
    times = "once" if len(leapt) == 1 else f"in {len(leapt):,} lines"
    return f" The training loss leapt up {times}, first at step {leapt[0]:,.0f}."
