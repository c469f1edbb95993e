"""What the lack of shortcuts does to an untrained transformer: gradients that fade, equal tokens.

The gradient that *enters a block*, going backwards, is that of the loss with respect to what leaves
it. The gradient of its weights is made of that and of what came in.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from groundup.lab.conclusions.statistics import corrected, paired_difference, t_interval
from groundup.lab.experiment import Difference, Finding, Results, Setting, Table, Values
from groundup.lab.measures.initialisation import first_pass
from groundup.report.charts import Chart, Series

N_SEQUENCES = 2
FADES_BELOW = 0.9
"""A gradient fades if a block leaves less of it than this."""
GROWS_ABOVE = 1.5
"""A gradient that grows by more than this from block to block is told."""
COLLAPSED = 0.99
"""Mean cosine above which tokens count as one direction."""

Range = tuple[float, float]


def measure_gradients(setting: Setting) -> Values:
    """Return the norms of gradients in each block of an untrained model, the first block first.

    entering_gradients: of the loss with respect to what leaves the block (B, T, D), Frobenius;
    weight_gradients: with respect to all its matrices together.
    """
    done = first_pass(setting, N_SEQUENCES)
    return {
        "entering_gradients": [_norm([stream]) for stream in done.streams[1:]],
        "weight_gradients": [
            _norm([p for p in block.parameters() if p.dim() > 1]) for block in done.model.blocks
        ],
    }


def measure_cosine(setting: Setting) -> Values:
    """Return the mean cosine between the vectors of two tokens of a sequence, last block's end."""
    stream = first_pass(setting, N_SEQUENCES).streams[-1].detach().double()
    return {"cosine": mean_cosine(stream)}


def mean_cosine(stream: Tensor) -> float:
    """Return the mean cosine between two different vectors of a sequence, of `stream` (B, T, D)."""
    n_tokens = stream.shape[1]
    total = F.normalize(stream, dim=-1).sum(dim=1).square().sum(dim=-1)  # (B,), pairs with itself
    return ((total - n_tokens) / (n_tokens * (n_tokens - 1))).mean().item()


def _norm(tensors: Sequence[Tensor]) -> float:
    """Return the norm of all gradients together, in double precision."""
    squares = (t.grad.double().square().sum().item() for t in tensors if t.grad is not None)
    return math.sqrt(math.fsum(squares))


class _Fading(NamedTuple):
    """What a block leaves of a gradient in an arm: a factor, geometric mean over seeds."""

    arm: str
    factor: float
    interval: Range
    weights: float
    """The same of the weights' gradients."""
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
    found = [_fading(results, arm, range_) for arm, range_ in expected.items()]
    return Finding(
        verdict=_verdict(results, found),
        came_out=all(f.came_out for f in found),
        tables=[_fading_table(found)],
        charts=_gradient_charts(results),
        notes=list(_notes(results, found)),
        figures={
            f.arm: {
                "factor_a_block": f.factor,
                "interval": list(f.interval),
                "weights_factor_a_block": None if math.isnan(f.weights) else f.weights,
                "zeros": f.zeros,
            }
            for f in found
        },
    )


def _fading(results: Results, arm: str, expected: Range) -> _Fading:
    cells = [results.get(arm, seed=seed) or {} for seed in results.seeds]
    entering = [cell["entering_gradients"] for cell in cells if cell]
    mean, low, high = t_interval([f for g in entering if (f := _log_factor(g)) is not None])
    weights = [f for c in cells if c and (f := _log_factor(c["weight_gradients"])) is not None]
    return _Fading(
        arm=arm,
        factor=math.exp(mean),
        interval=(math.exp(low), math.exp(high)),
        weights=math.exp(statistics.fmean(weights)) if weights else math.nan,
        zeros=sum(gradient == 0 for gradients in entering for gradient in gradients),
        expected=expected,
    )


def _log_factor(gradients: Sequence[float]) -> float | None:
    """Return the logarithm of what a block leaves of a gradient, over the blocks that have one."""
    known = [(i, gradient) for i, gradient in enumerate(gradients) if gradient > 0]
    if len(known) < 2:
        return None
    (first, start), (last, end) = known[0], known[-1]
    return math.log(start / end) / (last - first)


def _n_gradients(results: Results, arm: str) -> int:
    cells = (results.get(arm, seed=seed) or {} for seed in results.seeds)
    return sum(len(cell.get("entering_gradients", ())) for cell in cells)


def _verdict(results: Results, found: Sequence[_Fading]) -> str:
    """Return what is true of the sentence "without shortcuts the gradient fades"."""
    options = {arm.name: arm.options for arm in results.study.arms}
    without = [f for f in found if not options[f.arm]["shortcuts"]]
    normed = [f for f in without if options[f.arm]["norms"]]
    bare = [f for f in without if not options[f.arm]["norms"]]
    if all(f.fades for f in bare) and not any(f.fades for f in normed):
        judged = "holds only where there are no norms either"
    elif all(f.fades for f in without):
        judged = "holds, with norms and without"
    elif any(f.fades for f in without):
        judged = "holds in some arms"
    else:
        judged = "does not hold"
    return (
        f'"Without shortcuts the gradient fades" {judged}: a block leaves {_factors(bare)} of it '
        f"without norms, and {_factors(normed)} with them."
    )


def _factors(found: Sequence[_Fading]) -> str:
    return " or ".join(_factor(f.factor) for f in found)


def _factor(value: float) -> str:
    return f"{value:.3f}" if value > 0.001 else f"{value:.1e}"


def _notes(results: Results, found: Sequence[_Fading]) -> Iterator[str]:
    """Say which gradients are zero or grow, and that the weights' own do not fade."""
    for f in found:
        if f.zeros:
            yield (
                f"{f.arm}: {f.zeros} of {_n_gradients(results, f.arm)} gradients are zero, as they "
                "are below the smallest number of 32 bits; they are not drawn, and the factor is "
                "that of the others."
            )
        if f.fades and f.weights > FADES_BELOW:
            yield (
                f"{f.arm}: the gradients of the weights stay level all the same ({f.weights:.2f} a "
                "block), as what fades going backwards meets inputs that fade going forwards: a "
                "look at them alone would not show it."
            )
        if f.interval[0] > GROWS_ABOVE:
            yield f"{f.arm}: the gradient does not fade but grows, by {f.factor:.1f} a block."


def _fading_table(found: Sequence[_Fading]) -> Table:
    return Table(
        title="What a block leaves of the gradient, going backwards",
        head=("arm", "entering", "95% interval", "predicted", "weights'", "zeros"),
        rows=[
            [
                f.arm,
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


def _gradient_charts(results: Results) -> list[Chart]:
    """Return a chart for each way to start: the gradient that enters each block."""
    by_start: dict[str, list[Series]] = {}
    for arm in results.study.arms:
        cells = [results.get(arm.name, seed=seed) or {} for seed in results.seeds]
        rows = [cell["entering_gradients"] for cell in cells if cell]
        series = by_start.setdefault(arm.options["start"], [])
        points = _relative_to_last(rows)
        look = len(series)
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
    deepest = max(results.study.xs)
    compared = [
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
    differences = corrected(compared)
    at_end = {
        arm: statistics.fmean(results.numbers("cosine", arm, deepest))
        for pair in pairs
        for arm in pair
    }
    lowest = min(at_end[without] for without, _ in pairs)
    others = [at_end[with_them] for _, with_them in pairs]
    return Finding(
        verdict=(
            f"After {deepest:.0f} blocks the mean cosine between two tokens is at least "
            f"{math.floor(lowest * 1000) / 1000:.3f} without shortcuts, and {min(others):.2f} to "
            f"{max(others):.2f} with them."
        ),
        came_out=lowest > COLLAPSED and all(_higher(d) for d in differences),
        differences=differences,
        tables=[_cosine_table(results)],
        charts=[_cosine_chart(results)],
    )


def _higher(difference: Difference) -> bool:
    return difference.seen and difference.mean > 0


def _cosine_table(results: Results) -> Table:
    xs = results.study.xs
    rows = []
    for arm in results.study.arms:
        cells = []
        for x in xs:
            mean, low, high = t_interval(results.numbers("cosine", arm.name, x))
            cells.append(f"{mean:.3f} ({low:.3f} to {high:.3f})")
        rows.append([arm.name, *cells])
    return Table(
        title="Mean cosine between two tokens after the last block (95% interval)",
        head=("arm", *(f"{x:.0f} blocks" for x in xs)),
        rows=rows,
    )


def _cosine_chart(results: Results) -> Chart:
    series = []
    for i, arm in enumerate(results.study.arms):
        points, spread = [], []
        for x in results.study.xs:
            mean, low, high = t_interval(results.numbers("cosine", arm.name, x))
            points.append((float(x), mean))
            spread.append((low, high))
        series.append(
            Series(name=arm.name, points=points, spread=spread, dots=True, colour=i, dash=i)
        )
    return Chart(
        title="Mean cosine between two tokens after the last block",
        series=series,
        x_label="blocks",
        y_label="mean cosine between two tokens",
        x_log=True,
        from_zero=True,
    )
