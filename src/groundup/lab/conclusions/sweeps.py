"""Up to which value of what is swept, such as a learning rate or a depth, arms train."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from groundup.lab.conclusions.measured import (
    arms_of,
    entropy_line,
    finite,
    lost_word,
    metric_numbers,
    swept_curves,
)
from groundup.lab.conclusions.words import at_x, capital, joined, metric_words
from groundup.lab.experiment import Finding, Results, Table
from groundup.lab.measures.training import TRAINS_BELOW
from groundup.report.charts import Chart


class _Swept(NamedTuple):
    """What a sweep shows of an arm."""

    arm: str
    largest: float | None
    """The largest value at which all seeds train."""
    best: tuple[float, float] | None
    """The lowest mean of the metric, and where; None where no run is finite."""
    fails_below: list[float]
    """Values below the largest at which not all seeds train."""
    lost: dict[float, int]
    """How many seeds are lost, at values where some are."""


def sweep(results: Results, metric: str = "train_loss") -> Finding:
    """Conclude up to which value of what is swept each arm trains, and where it is best.

    Trains: all its seeds end clearly below the text's unigram entropy (`trains` of `train_arm`).
    """
    found = [_swept(results, metric, arm) for arm in arms_of(results)]
    name, over = metric_words(metric), results.study.x_name or "x"
    most = max(results.study.xs)
    trains = [f"{s.arm} {_largest_words(s, most)}" for s in found]
    return Finding(
        verdict=f"Largest {over} that trains: {joined(trains)}.",
        came_out=None,
        tables=[_table(results, name, over, found)],
        charts=[_chart(results, metric)],
        notes=list(_notes(results, over, found)),
        figures={
            "largest_that_trains": {s.arm: s.largest for s in found},
            "best": {s.arm: s.best and {metric: s.best[0], "x": s.best[1]} for s in found},
        },
    )


def _swept(results: Results, metric: str, arm: str) -> _Swept:
    means, trains, lost = {}, {}, {}
    for x in results.study.xs:
        numbers = metric_numbers(results, metric, arm, x)
        known = finite(numbers)
        if len(known) < len(numbers):
            lost[x] = len(numbers) - len(known)
        if known:
            means[x] = statistics.fmean(known)
        trains[x] = all(yes == 1 for yes in metric_numbers(results, "trains", arm, x))
    largest = max((x for x, fine in trains.items() if fine), default=None)
    return _Swept(
        arm=arm,
        largest=largest,
        best=min(((mean, x) for x, mean in means.items()), default=None),
        fails_below=[x for x, fine in trains.items() if not fine and x < (largest or -math.inf)],
        lost=lost,
    )


def _largest_words(swept: _Swept, most: float) -> str:
    if swept.largest is None:
        return "none of those tried"
    return at_x(swept.largest) + (" (the largest tried)" if swept.largest == most else "")


def _table(results: Results, name: str, over: str, found: Sequence[_Swept]) -> Table:
    most, n_seeds = max(results.study.xs), len(results.seeds)
    rows = [
        [
            s.arm,
            _largest_words(s, most).replace(" (the largest tried)", " (last)"),
            f"{s.best[0]:.3f}" if s.best else "none",
            at_x(s.best[1]) if s.best else "",
            _lost_words(s, n_seeds),
        ]
        for s in found
    ]
    return Table(
        title=f"{capital(over)} from {at_x(min(results.study.xs))} to {at_x(most)}",
        head=(
            "arm",
            "largest that trains",
            f"best {name}",
            "there at",
            f"{lost_word(results)} at",
        ),
        rows=rows,
    )


def _chart(results: Results, metric: str) -> Chart:
    name, over = metric_words(metric), results.study.x_name
    trains = f"It trains if it ends {TRAINS_BELOW:g} nats below the unigram entropy."
    return Chart(
        title=f"{capital(name)} over {over}",
        series=[*swept_curves(results, metric), *entropy_line(results)],
        x_label=over,
        y_label=f"{name}, nats a token",
        x_log=min(results.study.xs) > 0,
        remark=trains if metric == "train_loss" else "",
    )


def _notes(results: Results, over: str, found: Sequence[_Swept]) -> Iterator[str]:
    for s in found:
        if s.fails_below:
            places = joined([at_x(x) for x in s.fails_below])
            yield f"{s.arm} does not train at every smaller {over}: it fails at {places}."
    lost = [s for s in found if s.lost]
    if lost:
        names = joined([f"{s.arm} at {_lost_words(s, len(results.seeds))}" for s in lost])
        yield f"Runs that were {lost_word(results)} are not drawn: {names}."
    if len(results.seeds) == 1:
        yield "One seed: what chance adds is not known here, so small differences mean nothing."


def _lost_words(swept: _Swept, n_seeds: int) -> str:
    """Say where seeds are lost, and how many of how many."""
    return ", ".join(
        at_x(x) + (f" ({n} of {n_seeds} seeds)" if n_seeds > 1 else "")
        for x, n in swept.lost.items()
    )
