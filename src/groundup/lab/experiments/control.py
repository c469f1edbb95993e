"""A against A: the same training twice, with other seeds; only chance can make a difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scipy.special import bdtr

from groundup.lab.conclusions import NO_DIFFERENCE, differences
from groundup.lab.conclusions.measured import metric_numbers
from groundup.lab.conclusions.statistics import SIGNIFICANCE, paired_difference
from groundup.lab.conclusions.words import at_x, number, p_words, range_words, reach
from groundup.lab.experiment import (
    TRAINED,
    Arm,
    Difference,
    Experiment,
    Finding,
    Prediction,
    Results,
    Setting,
    Study,
    Table,
    Values,
)
from groundup.lab.measures.training import PLAIN, train_arm
from groundup.report.charts import Chart, Series

METRIC = "val_loss"
ROUNDS = 200
MOST_ROUNDS = 1000
HELD = 0.98
"""Chance with which the number of false differences lies in the predicted range."""
MOST_SEEDS = 1000
"""Seeds of a round have numbers below it."""

ARMS = (Arm(name="A", options={"copy": 0}), Arm(name="A again", options={"copy": 1}))
EQUAL = "everything but the seed, of which each training has its own"


def in_round(arm: Arm, x: float) -> Arm:
    """Return an arm in the round `x`, which has other seeds than all other rounds."""
    return replace(arm, options={**arm.options, "round": int(x)})


def train_by_own_seed(setting: Setting) -> Values:
    """Train with a seed that no other arm, seed or round has, and return the losses."""
    arm = setting.options
    seed = (arm["round"] * MOST_SEEDS + setting.cell.seed) * len(ARMS) + arm["copy"]
    values = train_arm(
        replace(
            setting,
            cell=setting.cell._replace(seed=seed),
            train=replace(setting.train, seed=seed),
        )
    )
    return {name: values[name] for name in (METRIC, "lost")}


def chance_range(rounds: int) -> tuple[int, int]:
    """Return how many of so many comparisons may show a false difference by chance.

    The smallest range around 5% of them that holds the number with a probability of 98% or more
    (binomial distribution).
    """
    middle = round(rounds * SIGNIFICANCE)
    for width in range(rounds + 1):
        low, high = max(0, middle - width), min(rounds, middle + width)
        below = bdtr(low - 1, rounds, SIGNIFICANCE) if low else 0.0
        if bdtr(high, rounds, SIGNIFICANCE) - below >= HELD:
            return low, high
    raise AssertionError("the whole range holds every number")


def conclude_once(results: Results) -> Finding:
    """Conclude what any experiment would from one comparison."""
    return differences(results, METRIC, "A", expected={"A again": NO_DIFFERENCE})


def conclude_rounds(results: Results) -> Finding:
    """Conclude in how many rounds a difference was seen, where there is none."""
    rounds = len(results.study.xs)
    found = [
        paired_difference(
            "A again",
            "A",
            METRIC,
            metric_numbers(results, METRIC, "A again", x),
            metric_numbers(results, METRIC, "A", x),
            x,
        )
        for x in results.study.xs
    ]
    false = [d for d in found if d.seen]
    low, high = chance_range(rounds)
    return Finding(
        verdict=(
            f"{len(false)} of {rounds} comparisons of A with itself showed a difference that is "
            f"none: {len(false) / rounds:.1%}. By chance 5% do, which is {low} to {high} of "
            f"{rounds} in at least 98 of 100 such series."
        ),
        came_out=low <= len(false) <= high,
        tables=[_table(found)] if false else [],
        charts=[_chart(found)],
        figures={"false_differences": len(false), "rounds": rounds, "by_chance": [low, high]},
    )


def _table(found: Sequence[Difference]) -> Table:
    rows = [
        [
            f"round {at_x(d.x)}",
            number(d.mean, reach(d), sign=True),
            range_words(*d.interval),
            p_words(d.p),
        ]
        for d in found
        if d.seen
    ]
    return Table(
        title="Differences that are none, validation loss, nats",
        head=("round", "difference", "95% interval", "p"),
        rows=rows,
    )


def _chart(found: Sequence[Difference]) -> Chart:
    """Return the sorted p: where only chance is at work, they are spread evenly over 0 to 1."""
    points = [((i + 0.5) / len(found), p) for i, p in enumerate(sorted(d.p for d in found))]
    return Chart(
        title="p of all rounds, sorted",
        series=[
            Series(name="measured", points=points, dots=True, line=False),
            Series(name="chance alone", points=[(0.0, 0.0), (1.0, 1.0)], dash=1, reference=True),
        ],
        x_label="share of the rounds",
        y_label="p, uncorrected",
        from_zero=True,
    )


def studies(scale: float) -> Sequence[Study]:
    """Return one comparison as any experiment makes it, and many of a very small model."""
    once = Study(
        name="once",
        title="One comparison",
        kind=TRAINED,
        prediction=Prediction(
            says="no difference is seen; by chance one would be in 1 of 20 such experiments",
            source="ours: the arms are the same",
        ),
        equal=EQUAL,
        measured="validation loss, nats a token",
        arms=ARMS,
        at=in_round,
        model={"n_layers": 2, "emb_dim": 64, "n_heads": 2, "context_length": 64},
        train={**PLAIN, "steps": 300},
        measure=train_by_own_seed,
        conclude=conclude_once,
    )
    rounds = min(MOST_ROUNDS, max(1, round(ROUNDS * scale)))
    low, high = chance_range(rounds)
    many = replace(
        once,
        name="many",
        title=f"{rounds} comparisons",
        prediction=Prediction(
            says=f"{low} to {high} of {rounds} comparisons show a difference that is none",
            source="binomial distribution: 5% of them, each by chance",
        ),
        xs=tuple(float(x) for x in range(1, rounds + 1)),
        x_name="round",
        model={"n_layers": 1, "emb_dim": 8, "n_heads": 1, "context_length": 16},
        train={**PLAIN, "steps": 40, "batch_size": 4, "learning_rate": 1e-2},
        conclude=conclude_rounds,
    )
    return [once, many]


EXPERIMENT = Experiment(
    name="control",
    question="How often does the lab see a difference where there is none?",
    studies=studies,
    answered_by=("many",),
    minutes=3.1,
)
