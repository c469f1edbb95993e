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

from scipy.special import nctdtrinc, stdtr, stdtrit

from groundup.lab.experiment import Difference

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
POWER = 0.8


def t_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of at least two values and its 95% interval (Student's t)."""
    mean = statistics.fmean(values)
    reach = _critical(len(values) - 1, 1 - CONFIDENCE) * _standard_error(values)
    return mean, mean - reach, mean + reach


def paired_difference(
    arm: str,
    against: str,
    metric: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    x: float = 0.0,
) -> Difference:
    """Return how much the first of paired values are above the second, in the order of seeds.

    There are at least two pairs, and all values are finite. Where all pairs differ by the same, p
    is 0, or 1 if that is 0: what the test tends to.
    """
    pairs = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean, low, high = t_interval(pairs)
    error = _standard_error(pairs)
    p = 2 * float(stdtr(len(pairs) - 1, -abs(mean) / error)) if error else float(mean == 0)
    return Difference(
        arm=arm,
        against=against,
        metric=metric,
        mean=mean,
        interval=(low, high),
        p=p,
        adjusted_p=p,
        smallest_seen=smallest_seen(len(pairs)) * error,
        n_pairs=len(pairs),
        x=x,
    )


def corrected(differences: Sequence[Difference]) -> list[Difference]:
    """Return differences with Holm's correction over all of them, in the same order.

    The smallest difference that each would have shown becomes that at the strictest of Holm's
    levels, 5% over their number: so it holds whatever the others show.
    """
    count = len(differences)
    order = sorted(range(count), key=lambda i: differences[i].p)
    out, highest = list(differences), 0.0
    for rank, i in enumerate(order):
        one = differences[i]
        highest = max(highest, min(1.0, (count - rank) * one.p))
        stricter = smallest_seen(one.n_pairs, count) / smallest_seen(one.n_pairs)
        out[i] = replace(one, adjusted_p=highest, smallest_seen=one.smallest_seen * stricter)
    return out


def smallest_seen(n_pairs: int, n_differences: int = 1) -> float:
    """Return the true difference that would be seen 8 times in 10, in standard errors of a mean.

    Seen is: told from 0 by a two-sided t-test at 5% over the number of differences. The power
    follows the noncentral t distribution (Cohen, 1988); that of the wrong sign is left out. The
    standard error that multiplies it is estimated from the same few pairs, and as uncertain.
    """
    degrees = n_pairs - 1
    critical = _critical(degrees, SIGNIFICANCE / n_differences)
    return float(nctdtrinc(degrees, 1 - POWER, critical))


def log_slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the slope of log y over log x by least squares; all are positive, two xs differ."""
    return statistics.linear_regression([math.log(x) for x in xs], [math.log(y) for y in ys]).slope


def _critical(degrees: int, level: float) -> float:
    """Return how many standard errors from 0 a mean lies by chance with a probability of `level`.

    Farther, in either direction.
    """
    return float(stdtrit(degrees, 1 - level / 2))


def _standard_error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values))
