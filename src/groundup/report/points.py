"""Curves of many points: thinned for a screen, smoothed, spread over a table."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TypeVar

from groundup.runs.record import Point

T = TypeVar("T")

BUCKETS = 400
"""A curve is drawn from at most this many pairs of points: finer than a screen shows."""
ABSURD = 1e100
"""No number that was measured is as large, or as small as one over it."""


def drawable(point: Point) -> bool:
    """Tell whether a point has a place on paper: NaN, infinity and absurd sizes have none."""
    return all(value == 0 or 1 / ABSURD < abs(value) < ABSURD for value in point)


def thin(points: Sequence[Point], buckets: int = BUCKETS) -> list[Point]:
    """Return at most 2 points a bucket, its lowest and its highest, so that no spike is lost.

    A bucket without a finite value becomes one NaN point: a gap.
    """
    if len(points) <= 2 * buckets:
        return list(points)
    kept: list[Point] = []
    for i in range(buckets):
        part = points[i * len(points) // buckets : (i + 1) * len(points) // buckets]
        finite = [p for p in part if drawable(p)]
        if not finite:
            kept.append((part[0][0], math.nan))
            continue
        extremes = {min(finite, key=lambda p: p[1]), max(finite, key=lambda p: p[1])}
        kept += sorted(extremes)
    return kept


def spread(items: Sequence[T], most: int) -> list[T]:
    """Return at most `most` of `items`, evenly spread, with the first and the last."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def smooth(points: Sequence[Point]) -> list[Point]:
    """Return the mean of about a fiftieth of the points around each, which does not lag behind.

    The window begins narrow, because losses fall steeply at first, and is cut off at the end.
    Values that are not finite are left out of the means and stay as gaps.
    """
    values = [y if math.isfinite(y) else 0.0 for _, y in points]
    sums = list(itertools.accumulate(values, initial=0.0))
    counts = list(itertools.accumulate((math.isfinite(y) for _, y in points), initial=0))
    reach, out = max(1, len(points) // 100), []
    for i, (x, y) in enumerate(points):
        half = min(reach, i)
        first, end = i - half, min(i + half + 1, len(points))
        finite = math.isfinite(y)
        mean = (sums[end] - sums[first]) / (counts[end] - counts[first]) if finite else y
        out.append((x, mean))
    return out
