"""What differences over a few seeds can show: intervals, corrected tests, the smallest difference.

Student's t over paired differences (Student, 1908), Holm's correction over several of them (Holm,
1979). Pairs share the order of the data and, where shapes agree, the initial tensors, so that what
is left of their differences is the arm's.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

from scipy.special import stdtr, stdtrit

from groundup.lab.experiment import Difference

CONFIDENCE = 0.95
POWER = 0.8


def t_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of at least two values and its 95% interval."""
    mean, error = statistics.fmean(values), _standard_error(values)
    reach = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2)) * error
    return mean, mean - reach, mean + reach


def paired_difference(
    arm: str,
    against: str,
    metric: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    x: float = 0.0,
) -> Difference:
    """Return how much the first of paired values are above the second, in the order of seeds."""
    pairs = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean, low, high = t_interval(pairs)
    error, degrees = _standard_error(pairs), len(pairs) - 1
    p = 2 * float(stdtr(degrees, -abs(mean) / error)) if error else float(mean == 0)
    reach = float(stdtrit(degrees, (1 + CONFIDENCE) / 2) + stdtrit(degrees, POWER))
    return Difference(
        arm=arm,
        against=against,
        metric=metric,
        mean=mean,
        interval=(low, high),
        p=p,
        adjusted_p=p,
        smallest_seen=reach * error,
        n_pairs=len(pairs),
        x=x,
    )


def corrected(differences: Sequence[Difference]) -> list[Difference]:
    """Return differences with Holm's correction over all of them, in the same order."""
    order = sorted(range(len(differences)), key=lambda i: differences[i].p)
    out, highest = list(differences), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * differences[i].p))
        out[i] = replace(differences[i], adjusted_p=highest)
    return out


def log_slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the slope of log y over log x by least squares; all are positive."""
    return statistics.linear_regression([math.log(x) for x in xs], [math.log(y) for y in ys]).slope


def _standard_error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values))
