"""By which power of what is swept a metric grows: log-log slopes with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from groundup.base.errors import UsageError, shown
from groundup.base.words import counted
from groundup.lab.conclusions.measured import (
    TOO_LARGE,
    arms_of,
    finite,
    mean_and_spread,
    metric_numbers,
)
from groundup.lab.conclusions.statistics import log_slope
from groundup.lab.conclusions.words import at_x, capital, metric_words, number, range_words
from groundup.lab.experiment import Finding, Results, Table
from groundup.report.charts import Chart, Series

Range = tuple[float, float]

DIGITS = 0.1
"""Slopes are written as if known to this: with two decimals."""
MOST_INTERVALS = 2
"""Arms up to which the sentence has their intervals; the table has them always."""


class _Slope(NamedTuple):
    """The log-log slope of an arm over its seeds."""

    arm: str
    mean: float
    interval: Range
    expected: Range | None
    n_seeds: int
    left_out: int
    """Values that have no logarithm: zeros, and what is not finite."""

    @property
    def told(self) -> bool:
        return math.isfinite(self.mean)

    @property
    def written(self) -> str:
        return number(self.mean, DIGITS, sign=True)

    @property
    def came_out(self) -> bool | None:
        if not self.expected or not self.told:
            return None
        return self.expected[0] <= self.mean <= self.expected[1]


def slopes(
    results: Results, metric: str, expected: Mapping[str, Range], y_label: str = ""
) -> Finding:
    """Conclude by which power of what is swept a positive metric grows, per arm.

    The slope of log y over log x is fitted for each seed, then averaged over them. `expected` has
    the range in which an arm's mean slope was predicted; the prediction came out if all lie in it.
    Values that are zero, such as a gradient below the smallest number, or not finite are left out.
    Raises `UsageError` where fewer than two values are swept, or one is not above zero.
    """
    xs = results.study.xs
    if len(xs) < 2 or min(xs) <= 0:
        raise UsageError(
            f"{results.study.name}: its values are {shown(', '.join(map(at_x, xs)))}; a log-log "
            "slope needs two or more, all above zero"
        )
    found = [_slope(results, metric, arm, expected.get(arm)) for arm in arms_of(results)]
    name, over = metric_words(metric), results.study.x_name or "x"
    told = [s.came_out for s in found if s.expected]
    return Finding(
        verdict=f"Slope of log {name} over log {over}: {_all_words(found)}.",
        came_out=None if not told or None in told else all(told),
        tables=[_table(name, over, found)],
        charts=[_chart(results, metric, y_label or name)],
        notes=[
            f"{s.arm}: {counted(s.left_out, 'value')} that are zero or not finite are left out."
            for s in found
            if s.left_out
        ],
        figures={"slopes": {s.arm: _figures(s) for s in found}},
    )


def _slope(results: Results, metric: str, arm: str, expected: Range | None) -> _Slope:
    xs = results.study.xs
    by_seed = zip(*(metric_numbers(results, metric, arm, x) for x in xs), strict=True)
    values, left_out = [], 0
    for ys in by_seed:
        known = [(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(y) and y > 0]
        left_out += len(xs) - len(known)
        if len(known) > 1:
            values.append(log_slope(*zip(*known, strict=True)))
    return _Slope(arm, *mean_and_spread(values), expected, len(values), left_out)


def _all_words(found: Sequence[_Slope]) -> str:
    return "; ".join(_words(s, len(found) <= MOST_INTERVALS) for s in found)


def _words(slope: _Slope, with_interval: bool) -> str:
    if not slope.told:
        return f"{slope.arm} cannot be told (its values are zero or not finite)"
    words = f"{slope.arm} {slope.written}"
    if with_interval and math.isfinite(slope.interval[0]):
        words += f" (95% interval {range_words(*slope.interval)})"
    if slope.expected is None:
        return words
    low, high = (f"{end:g}" for end in slope.expected)
    return f"{words}, as predicted" if slope.came_out else f"{words}, predicted {low} to {high}"


def _table(name: str, over: str, found: Sequence[_Slope]) -> Table:
    answer = {True: "yes", False: "no", None: ""}
    rows = [
        [
            s.arm,
            s.written if s.told else "cannot be told",
            range_words(*s.interval) if math.isfinite(s.interval[0]) else "",
            f"{s.expected[0]:g} to {s.expected[1]:g}" if s.expected else "",
            answer[s.came_out],
            str(s.n_seeds),
        ]
        for s in found
    ]
    return Table(
        title=f"Slope of log {name} over log {over}",
        head=("arm", "slope", "95% interval", "predicted", "as predicted", "seeds"),
        rows=rows,
    )


def _chart(results: Results, metric: str, y_label: str) -> Chart:
    """Return the geometric mean over seeds, which is what the slopes are fitted to."""
    series = []
    for i, arm in enumerate(arms_of(results)):
        points, spread = [], []
        for x in results.study.xs:
            numbers = [y for y in finite(metric_numbers(results, metric, arm, x)) if y > 0]
            mean, interval = mean_and_spread([math.log(y) for y in numbers])
            points.append((float(x), math.exp(mean)))
            spread.append((_exp(interval[0]), _exp(interval[1])))
        series.append(Series(name=arm, points=points, spread=spread, dots=True, colour=i, dash=i))
    over = results.study.x_name
    return Chart(
        title=f"{capital(y_label)} over {over}",
        series=series,
        x_label=over,
        y_label=y_label,
        x_log=True,
        y_log=True,
        remark=f"Geometric mean over {counted(len(results.seeds), 'seed')}.",
    )


def _exp(logarithm: float) -> float:
    """Return e to a power; infinity where that is too large, as few seeds far apart make it."""
    return math.exp(logarithm) if not logarithm > math.log(TOO_LARGE) else math.inf


def _figures(slope: _Slope) -> dict[str, Any]:
    known = math.isfinite(slope.interval[0])
    return {
        "slope": slope.mean if slope.told else None,
        "interval": list(slope.interval) if known else None,
        "expected": list(slope.expected) if slope.expected else None,
        "came_out": slope.came_out,
        "n_seeds": slope.n_seeds,
    }
