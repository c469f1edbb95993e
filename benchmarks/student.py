"""The two figures of small samples that the speedrun states, by Student (1908)."""

from __future__ import annotations

import math
import statistics

SLICES = 20_000


def tail(t: float, freedom: int) -> float:
    """Return the chance that Student's t of so many degrees of freedom exceeds `t`.

    The density's integral, taken over the angle whose tangent is t / sqrt(freedom): there it is a
    power of the cosine over a finite range (midpoint rule).
    """
    low, high = math.atan(t / math.sqrt(freedom)), math.pi / 2
    width = (high - low) / SLICES
    powers = (math.cos(low + (i + 0.5) * width) ** (freedom - 1) for i in range(SLICES))
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2))
    return math.fsum(powers) * width * scale / math.sqrt(math.pi)


def chance_of_mean_at_or_above(values: list[float], bound: float) -> float | None:
    """Return the one-sided p-value that the mean is not below `bound`; None for one value."""
    if len(values) < 2 or not (spread := statistics.stdev(values)):
        return None
    t = (bound - statistics.fmean(values)) / (spread / math.sqrt(len(values)))
    return tail(t, len(values) - 1)


def confidence_95(values: list[float]) -> tuple[float, float] | None:
    """Return the 95% confidence interval of the mean; None for one value."""
    if len(values) < 2:
        return None
    low, high = 0.0, 100.0
    while high - low > 1e-4:  # where the tail is 2.5%
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle, len(values) - 1) > 0.025 else (low, middle)
    half = low * statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.fmean(values)
    return mean - half, mean + half
