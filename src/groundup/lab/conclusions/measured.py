"""What all conclusions read from results: a metric's numbers, labels, curves of the loss."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from groundup.base.errors import UsageError, nearest
from groundup.lab.conclusions.statistics import t_interval
from groundup.lab.conclusions.words import at_x
from groundup.lab.experiment import TRAINED, Results, Values
from groundup.report.charts import Chart, Series

ENTROPY = "unigram_entropy"


def metric_numbers(results: Results, metric: str, arm: str, x: float) -> list[float]:
    """Return a metric, one number a seed, NaN where it is not finite.

    Raises `UsageError` where it was not measured, or is no number.
    """
    values = results.get(arm, x)
    known = [name for name, value in values.items() if not isinstance(value, list)]
    if metric not in known:
        raise UsageError(
            f"'{metric}' is no number that {results.study.name} measures; {nearest(metric, known)}"
        )
    return results.numbers(metric, arm, x)


def finite(values: Sequence[float]) -> list[float]:
    """Return the values that are finite."""
    return [value for value in values if math.isfinite(value)]


def mean_and_spread(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Return the mean of the finite values and its 95% interval; NaN where it has none."""
    known = finite(values)
    if len(known) > 1:
        mean, low, high = t_interval(known)
        return mean, (low, high)
    return (known[0] if known else math.nan), (math.nan, math.nan)


def lost_word(results: Results) -> str:
    """Return what a value is called that is not finite: a training's is lost."""
    return "lost" if results.study.kind == TRAINED else "not finite"


def label_of(results: Results, arm: str, x: float) -> str:
    """Return an arm's name with the value of what is swept, if anything is."""
    study = results.study
    return f"{arm} at {study.x_name} {at_x(x)}" if len(study.xs) > 1 else arm


def arms_of(results: Results) -> list[str]:
    """Return the names of the arms."""
    return [arm.name for arm in results.study.arms]


def swept_curves(results: Results, metric: str) -> list[Series]:
    """Return each arm's mean over the seeds at each value of what is swept, with its interval."""
    curves = []
    for i, arm in enumerate(arms_of(results)):
        found = [
            (float(x), *mean_and_spread(metric_numbers(results, metric, arm, x)))
            for x in sorted(results.study.xs)
        ]
        points = [(x, mean) for x, mean, _ in found]
        spread = [ends for *_, ends in found] if len(results.seeds) > 1 else ()
        curves.append(Series(name=arm, points=points, spread=spread, dots=True, colour=i, dash=i))
    return curves


def entropy_line(results: Results) -> list[Series]:
    """Return the text's unigram entropy as a line to compare with; none where it is not known."""
    values = next(iter(results.values.values()), {})
    if ENTROPY not in values:
        return []
    points = [(0.0, float(values[ENTROPY]))]
    name = f"unigram entropy, {values[ENTROPY]:.3g}"
    return [Series(name=name, points=points, colour=5, dash=1, reference=True)]


def loss_curves(results: Results) -> list[Chart]:
    """Return the training loss over the steps, at each value the mean over seeds, per arm.

    Curves of lost runs are left out: they end early. None where no curve was measured.
    """
    charts = []
    for x in results.study.xs:
        series = []
        for i, arm in enumerate(arms_of(results)):
            points, count = _mean_curve(results.of_seeds(arm, x))
            few = f" ({count} of {len(results.seeds)} seeds)" if count < len(results.seeds) else ""
            if points:
                series.append(Series(name=arm + few, points=points, colour=i, dash=i))
        if series:
            place = f", {results.study.x_name} {at_x(x)}" if len(results.study.xs) > 1 else ""
            charts.append(
                Chart(
                    title=f"Training loss, mean over the seeds{place}",
                    series=[*series, *entropy_line(results)],
                    y_label="training loss, nats a token",
                )
            )
    return charts


def _mean_curve(runs: Sequence[Values]) -> tuple[list[tuple[float, float]], int]:
    """Return the mean of the loss curves of runs that were not lost, and of how many it is.

    They have the same steps.
    """
    whole = [run for run in runs if run.get("curve") and not run.get("lost")]
    if not whole:
        return [], 0
    steps = whole[0]["curve_steps"]
    same = [run["curve"] for run in whole if run["curve_steps"] == steps]
    means = map(statistics.fmean, zip(*same, strict=True))
    return [(float(step), mean) for step, mean in zip(steps, means, strict=True)], len(same)
