"""Whether gradients fade from block to block, and whether tokens collapse to one direction."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from groundup.lab.conclusions.measured import swept_curves
from groundup.lab.conclusions.statistics import corrected, paired_difference, t_interval
from groundup.lab.experiment import Arm, Finding, Results, Table
from groundup.report.charts import Chart, Series

FADES_BELOW = 0.9
"""A gradient fades if a block leaves less of it than this."""
GROWS_ABOVE = 1.5
"""A gradient that grows by more than this from block to block is told."""
COLLAPSED = 0.99
"""Mean cosine above which tokens count as one direction."""

Range = tuple[float, float]


class _Fading(NamedTuple):
    """What a block leaves of a gradient in an arm: a factor, geometric mean over seeds."""

    arm: Arm
    factor: float
    interval: Range
    weights: float
    """The same of the weights' gradients; NaN where all of them are zero."""
    n_gradients: int
    zeros: int
    """Entering gradients that are zero, as they are below the smallest number."""
    expected: Range

    @property
    def came_out(self) -> bool:
        return self.expected[0] <= self.factor <= self.expected[1]

    @property
    def fades(self) -> bool:
        return self.interval[1] < FADES_BELOW


def conclude_gradients(results: Results, expected: Mapping[str, Range]) -> Finding:
    """Conclude in which arms the gradient that enters a block fades from block to block.

    `expected` has the range in which the factor a block was predicted for each arm.
    """
    found = [_fading(results, arm, expected[arm.name]) for arm in results.study.arms]
    return Finding(
        verdict=_verdict(found),
        came_out=all(f.came_out for f in found),
        tables=[_table(found)],
        charts=_charts(results),
        notes=list(_notes(found)),
        figures={
            f.arm.name: {
                "factor_a_block": f.factor,
                "interval": list(f.interval),
                "weights_factor_a_block": None if math.isnan(f.weights) else f.weights,
                "zeros": f.zeros,
            }
            for f in found
        },
    )


def _fading(results: Results, arm: Arm, expected: Range) -> _Fading:
    cells = results.of_seeds(arm.name)
    entering = [cell["entering_gradients"] for cell in cells]
    mean, low, high = t_interval(log_factors(entering))
    weights = log_factors([cell["weight_gradients"] for cell in cells])
    return _Fading(
        arm=arm,
        factor=math.exp(mean),
        interval=(math.exp(low), math.exp(high)),
        weights=math.exp(statistics.fmean(weights)) if weights else math.nan,
        n_gradients=sum(map(len, entering)),
        zeros=sum(gradient == 0 for gradients in entering for gradient in gradients),
        expected=expected,
    )


def log_factors(rows: Sequence[Sequence[float]]) -> list[float]:
    """Return the logarithm of what a layer leaves of a gradient, for each row of them.

    Over the layers that have one above zero; rows with fewer than two are left out.
    """
    found = []
    for gradients in rows:
        known = [(i, gradient) for i, gradient in enumerate(gradients) if gradient > 0]
        if len(known) > 1:
            (first, start), *_, (last, end) = known
            found.append(math.log(start / end) / (last - first))
    return found


def _verdict(found: Sequence[_Fading]) -> str:
    """Return what is true of the sentence "without shortcuts the gradient fades"."""
    without = [f for f in found if not f.arm.options["shortcuts"]]
    normed = [f for f in without if f.arm.options["norms"]]
    bare = [f for f in without if not f.arm.options["norms"]]
    if all(f.fades for f in bare) and not any(f.fades for f in normed):
        judged = "holds only where there are no norms either"
    elif all(f.fades for f in without):
        judged = "holds, with norms and without"
    elif any(f.fades for f in without):
        judged = "holds in some arms"
    else:
        judged = "does not hold"
    left = (
        " or ".join(f"{_factor(f.factor)} ({f.arm.name.rpartition(', ')[2]})" for f in of)
        for of in (bare, normed)
    )
    return (
        f'"Without shortcuts the gradient fades" {judged}: a block leaves {next(left)} of it '
        f"without norms, and {next(left)} with them."
    )


def _factor(value: float) -> str:
    return f"{value:.3f}" if value > 0.001 else f"{value:.1e}"


def _notes(found: Sequence[_Fading]) -> Iterator[str]:
    """Say which gradients are zero or grow, and that the weights' own do not fade."""
    for f in found:
        if f.zeros:
            yield (
                f"{f.arm.name}: {f.zeros} of {f.n_gradients} gradients are zero, as they are below "
                "the smallest number of 32 bits; they are not drawn, and the factor is that of the "
                "others."
            )
        if f.fades and f.weights > FADES_BELOW:
            yield (
                f"{f.arm.name}: the gradients of the weights stay level all the same "
                f"({f.weights:.2f} a block), as what fades going backwards meets inputs that fade "
                "going forwards: a look at them alone would not show it."
            )
        if f.interval[0] > GROWS_ABOVE:
            yield f"{f.arm.name}: the gradient does not fade but grows, by {f.factor:.1f} a block."


def _table(found: Sequence[_Fading]) -> Table:
    return Table(
        title="What a block leaves of the gradient, going backwards",
        head=("arm", "entering", "95% interval", "predicted", "weights'", "zeros"),
        rows=[
            [
                f.arm.name,
                _factor(f.factor),
                f"{_factor(f.interval[0])} to {_factor(f.interval[1])}",
                _expected_words(f.expected),
                "zero" if math.isnan(f.weights) else _factor(f.weights),
                str(f.zeros),
            ]
            for f in found
        ],
    )


def _expected_words(expected: Range) -> str:
    low, high = expected
    if math.isinf(high):
        return f"at least {low:g}"
    return f"{low:g} to {high:g}" if low else f"at most {high:g}"


def _charts(results: Results) -> list[Chart]:
    """Return a chart for each way to start: the gradient that enters each block."""
    by_start: dict[str, list[Series]] = {}
    for arm in results.study.arms:
        rows = [cell["entering_gradients"] for cell in results.of_seeds(arm.name)]
        series = by_start.setdefault(arm.options["start"], [])
        look = len(series)
        points = _relative_to_last(rows)
        series.append(Series(name=arm.name, points=points, dots=True, colour=look, dash=look))
    return [
        Chart(
            title=f"The gradient that enters each block, {start}",
            series=series,
            x_label="block",
            y_label="gradient norm, that of the last block = 1",
            y_log=True,
            remark="Geometric mean over the seeds; blocks where one is zero are left out.",
        )
        for start, series in by_start.items()
    ]


def _relative_to_last(rows: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    points = []
    for i, gradients in enumerate(zip(*rows, strict=True)):
        if all(gradient > 0 for gradient in gradients):
            logs = [math.log(row[i] / row[-1]) for row in rows]
            points.append((float(i + 1), math.exp(statistics.fmean(logs))))
    return points


def conclude_cosine(results: Results, pairs: Sequence[tuple[str, str]]) -> Finding:
    """Conclude whether tokens collapse to one direction; `pairs` are arms without and with."""
    differences = corrected(
        [
            paired_difference(
                without,
                with_them,
                "cosine",
                results.numbers("cosine", without, x),
                results.numbers("cosine", with_them, x),
                x,
            )
            for without, with_them in pairs
            for x in results.study.xs
        ]
    )
    curves = swept_curves(results, "cosine")
    at_end = {curve.name: curve.points[-1][1] for curve in curves}
    lowest = min(at_end[without] for without, _ in pairs)
    others = [at_end[with_them] for _, with_them in pairs]
    return Finding(
        verdict=(
            f"After {max(results.study.xs):.0f} blocks the mean cosine between two tokens is at "
            f"least {math.floor(lowest * 1000) / 1000:.3f} without shortcuts, and "
            f"{min(others):.2f} to {max(others):.2f} with them."
        ),
        came_out=lowest > COLLAPSED and all(d.seen and d.mean > 0 for d in differences),
        differences=differences,
        tables=[_cosine_table(curves)],
        charts=[
            Chart(
                title="Mean cosine between two tokens after the last block",
                series=curves,
                x_label="blocks",
                y_label="mean cosine between two tokens",
                x_log=True,
                from_zero=True,
            )
        ],
    )


def _cosine_table(curves: Sequence[Series]) -> Table:
    rows = []
    for curve in curves:
        found = zip(curve.points, curve.spread, strict=True)
        cells = [f"{mean:.3f} ({low:.3f} to {high:.3f})" for (_, mean), (low, high) in found]
        rows.append([curve.name, *cells])
    return Table(
        title="Mean cosine between two tokens after the last block (95% interval)",
        head=("arm", *(f"{x:.0f} blocks" for x, _ in curves[0].points)),
        rows=rows,
    )
