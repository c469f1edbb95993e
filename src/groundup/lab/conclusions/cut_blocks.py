"""What single blocks of trained models are worth, in parts of what the models have learnt."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from groundup.lab.conclusions.differences import differences
from groundup.lab.conclusions.measured import arms_of
from groundup.lab.conclusions.predicted import with_predictions
from groundup.lab.experiment import Finding, Results, Table, Values
from groundup.report.charts import Chart, Series

SMALL_SHARE = 0.1
"""A change of the loss is small below this part of what was learnt."""
CHANGES = {"cut": "one block left out", "swapped": "a block swapped with the next"}
Learnt = Mapping[str, Sequence[Values]]
"""What the trainings of each arm measured that work."""


def conclude_cuts(results: Results, against: str) -> Finding:
    """Conclude how much a single block matters in each arm, and how arms differ from `against`.

    The prediction came out if in each arm leaving one block out or swapping two costs, in the
    median, less than `SMALL_SHARE` of what was learnt (unigram entropy less the intact loss), and
    no arm ends with a lower training loss than `against`.
    """
    found = differences(results, "train_loss", against)
    learnt = {arm: [v for v in results.of_seeds(arm) if v["trains"]] for arm in arms_of(results)}
    shares = {arm: {change: _share(of_arm, change) for change in CHANGES}
              for arm, of_arm in learnt.items()}  # fmt: skip
    small = {
        change: all(of_arm[change] < SMALL_SHARE for of_arm in shares.values())
        for change in CHANGES
    }
    finding = Finding(
        verdict=f"{_words(shares)} {found.verdict}",
        came_out=None,
        differences=found.differences,
        tables=[*(_table(learnt, change) for change in CHANGES), *found.tables],
        charts=[_chart(learnt), *found.charts],
        notes=[
            *_worst(learnt),
            f"After {results.study.train.get('steps', 0)} steps: what later blocks do by then "
            "may be little.",
            *found.notes,
        ],
        figures={
            arm: {change: share if math.isfinite(share) else None
                  for change, share in of_arm.items()}
            for arm, of_arm in shares.items()
        },
    )  # fmt: skip
    return with_predictions(
        finding,
        {
            f"a block left out costs less than {SMALL_SHARE:.0%}": small["cut"],
            f"two swapped cost less than {SMALL_SHARE:.0%}": small["swapped"],
            f"none ends lower than {against}": not any(
                d.seen and d.mean < 0 for d in found.differences
            ),
        },
    )


def _share(learnt: Sequence[Values], change: str) -> float:
    """Return which part of what was learnt a change costs: the median over blocks and seeds.

    Infinite where no training has learnt anything.
    """
    shares = [
        (loss - values["intact"]) / (values["unigram_entropy"] - values["intact"])
        for values in learnt
        for loss in values[change]
    ]
    return statistics.median(shares) if shares else math.inf


def _words(shares: Mapping[str, Mapping[str, float]]) -> str:
    parts = [
        f"{arm}, leaving one block out costs {of_arm['cut']:.1%} of what was learnt and swapping "
        f"two neighbours {of_arm['swapped']:.1%} (medians)"
        if math.isfinite(of_arm["cut"])
        else f"{arm}, nothing was learnt that a block could cost"
        for arm, of_arm in shares.items()
    ]
    return f"With {'; with '.join(parts)}."


def _mean(learnt: Sequence[Values], what: str) -> list[float]:
    """Return the mean over trainings of the loss of each block, in nats a token."""
    return [statistics.fmean(losses) for losses in zip(*(v[what] for v in learnt), strict=True)]


def _intact(learnt: Sequence[Values]) -> float:
    return statistics.fmean(values["intact"] for values in learnt)


def _table(learnt: Learnt, change: str) -> Table:
    rows = [
        [arm, f"{intact:.3f}", *(f"{loss - intact:+.3f}" for loss in _mean(of_arm, change))]
        for arm, of_arm in learnt.items()
        if of_arm and (intact := _intact(of_arm))
    ]
    n_columns = max((len(row) for row in rows), default=2) - 2
    return Table(
        title=f"Rise of the loss, nats a token, with {CHANGES[change]}",
        head=("arm", "intact", *(f"block {i + 1}" for i in range(n_columns))),
        rows=rows,
    )


def _chart(learnt: Learnt) -> Chart:
    series = [
        Series(
            name=f"{arm}, {change}",
            points=[(float(i), loss) for i, loss in enumerate(_mean(of_arm, change), 1)],
            colour=colour,
            dash=dash,
        )
        for colour, (arm, of_arm) in enumerate(learnt.items())
        for dash, change in enumerate(CHANGES)
    ]
    if every := [values for of_arm in learnt.values() for values in of_arm]:
        points = [(0.0, _intact(every))]
        series.append(Series(name="intact, mean", points=points, colour=5, reference=True))
    return Chart(
        title="A trained model without one block, or with two swapped",
        series=series,
        x_label="block",
        y_label="validation loss, nats a token",
    )


def _worst(learnt: Learnt) -> list[str]:
    """Say which block matters most in each arm."""
    notes = []
    for arm, of_arm in learnt.items():
        if of_arm:
            loss, block = max((loss, i) for i, loss in enumerate(_mean(of_arm, "cut"), 1))
            rise = loss - _intact(of_arm)
            notes.append(f"{arm}: block {block} is missed most, by {rise:.2f} nats a token.")
    return notes
