"""Which optimizer learns most in as many steps: each at its best of as many learning rates.

Held equal is the effort of tuning, since no two optimizers share a rate: five rates each, on a grid
of the same width. An arm's rate for one seed is the best of the other seeds, so that no figure
chose itself.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from groundup.lab.conclusions import HIGHER, LOWER, NO_DIFFERENCE, differences, sweep
from groundup.lab.experiment import (
    TRAINED,
    Arm,
    Cell,
    Experiment,
    Finding,
    Prediction,
    Results,
    Study,
    Table,
    Values,
)
from groundup.lab.measures.curve import loss_at
from groundup.lab.measures.training import PLAIN, train_arm

ADAMW, MUON, SIGN, DECAYED = "AdamW", "Muon", "sign of the gradient", "AdamW, decayed"
RATES: Mapping[str, Mapping[str, float]] = {
    ADAMW: {"learning_rate": 3e-3},
    MUON: {"learning_rate": 9e-3, "muon_learning_rate": 0.02},
    SIGN: {"learning_rate": 1e-3},
    DECAYED: {"learning_rate": 3e-3},
}
"""The middle of each arm's grid: for AdamW and Muon the package's own for this width. The sign's is
a third of AdamW's: Chen et al. (2023, "Symbolic discovery of optimization algorithms") advise a
third to a tenth for an optimizer that moves by signs."""
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
STEPS = 480
"""75 runs x 480 steps x 512 tokens: 18 million tokens of a model 2 layers deep and 64 wide."""


def times_its_rate(arm: Arm, factor: float) -> Arm:
    """Return an arm at so many times its middle learning rates."""
    rates = {name: rate * factor for name, rate in RATES[arm.name].items()}
    return replace(arm, train={**arm.train, **rates})


def studies(scale: float) -> list[Study]:
    """Return the one study; above twice the default's time, weight decay is an arm, too."""
    decays = scale >= 2
    arms = [
        Arm(name=ADAMW),
        Arm(name=MUON, train={"optimizer": "muon"}),
        Arm(name=SIGN, train={"beta1": 0.0, "beta2": 0.0}),
        Arm(name=DECAYED, train={"weight_decay": 0.1}),
    ][: 4 if decays else 3]
    steps = max(20, round(STEPS * scale * 3 / len(arms)))
    return [
        Study(
            name="at-its-best",
            title="Optimizers, each at its best learning rate of five",
            kind=TRAINED,
            prediction=Prediction(
                says="In as many steps Muon ends lower than AdamW, and AdamW lower than steps by "
                "the sign of the gradient, which is AdamW without memory"
                + "; weight decay makes no difference in so short a training"
                * decays,
                source="Muon: Jordan et al., 2024, and Liu et al., 2025; the sign: Kunstner et "
                "al., 2023, for small batches" + "; weight decay: ours" * decays,
            ),
            equal="steps, batch, order of the data, initial tensors, constant rate after a warm-up "
            "of a tenth; and the tuning: five rates each, 1/4 to 4 times "
            + ", ".join(f"{_words(RATES[arm.name])} ({arm.name})" for arm in arms),
            measured="loss on the validation text, nats a token; CPU seconds",
            arms=arms,
            xs=FACTORS,
            x_name="multiple of the middle rate",
            at=times_its_rate,
            model={"context_length": 64, "emb_dim": 64, "n_heads": 4, "n_layers": 2},
            train={**PLAIN, "batch_size": 8, "steps": steps, "warmup_steps": None},
            measure=train_arm,
            conclude=conclude,
        )
    ]


def conclude(results: Results) -> Finding:
    """Compare the arms at their best rates, and say what each had reached in equal CPU time."""
    best = at_their_best(results)
    expected = {MUON: LOWER, SIGN: HIGHER, DECAYED: NO_DIFFERENCE}
    arms = [arm.name for arm in results.study.arms]
    finding = differences(
        best, "val_loss", ADAMW, expected={a: expected[a] for a in arms if a != ADAMW}
    )
    in_time = in_equal_time(best)
    return replace(
        finding,
        tables=[*finding.tables, _table(results, in_time)],
        charts=[*sweep(results, "val_loss").charts, *finding.charts],
        notes=[*finding.notes, *_at_an_end(results)],
        figures={**finding.figures, "in_equal_cpu_time": in_time},
    )


def at_their_best(results: Results) -> Results:
    """Return results without rates: an arm's with a seed is at the best rate of the other seeds."""
    study = replace(results.study, xs=(0.0,))
    values: dict[Cell, Values] = {}
    for arm in study.arms:
        for seed in study.seeds:
            others = [other for other in study.seeds if other != seed] or [seed]
            best = _best(results, arm.name, others)
            values[Cell(study.name, arm.name, 0.0, seed)] = results.get(arm.name, best, seed)
    return Results(study, values)


def in_equal_time(best: Results) -> dict[str, float]:
    """Return each arm's training loss when it had computed as long as the quickest needed.

    A mean over seeds and over a tenth of the steps before, as `train_loss` is one at the end.
    """
    arms = [arm.name for arm in best.study.arms]
    seconds = {arm: statistics.median(best.numbers("cpu_seconds", arm)) for arm in arms}
    reached: dict[str, float] = {}
    for arm in arms:
        share = min(seconds.values()) / seconds[arm]
        reached[arm] = statistics.fmean(loss_at(run, share) for run in best.of_seeds(arm))
    return reached


def _best(results: Results, arm: str, seeds: Sequence[int]) -> float:
    """Return the factor with the lowest mean loss over some seeds, none of them lost."""

    def mean(x: float) -> float:
        by_seed = dict(zip(results.seeds, results.numbers("val_loss", arm, x), strict=True))
        loss = statistics.fmean(by_seed[seed] for seed in seeds)
        return loss if math.isfinite(loss) else math.inf

    return min(results.study.xs, key=mean)


def _table(results: Results, in_time: Mapping[str, float]) -> Table:
    rows = []
    for arm in results.study.arms:
        x = _best(results, arm.name, results.seeds)
        loss = statistics.fmean(results.numbers("val_loss", arm.name, x))
        seconds = statistics.median(results.numbers("cpu_seconds", arm.name, x))
        rates = _words({name: rate * x for name, rate in RATES[arm.name].items()})
        reached = in_time[arm.name]
        rows.append([arm.name, rates, f"{loss:.3f}", f"{seconds:.1f} s", f"{reached:.3f}"])
    return Table(
        title="Each at its best rate, and the training loss in the CPU time of the quickest",
        head=["optimizer", "best rate", "validation loss", "CPU time", "in equal time"],
        rows=rows,
    )


def _at_an_end(results: Results) -> list[str]:
    ends = results.study.xs[0], results.study.xs[-1]
    arms = [arm.name for arm in results.study.arms]
    at = {arm: _best(results, arm, results.seeds) for arm in arms}
    return [
        f"{arm} was best at an end of its grid, {at[arm]:g} times the middle: it may do better "
        "beyond"
        for arm in arms
        if at[arm] in ends
    ]


def _words(rates: Mapping[str, float]) -> str:
    return " and ".join(f"{rate:.3g}" for rate in rates.values())


EXPERIMENT = Experiment(
    name="optimizer",
    question="Which optimizer learns most in as many steps, each at its best learning rate?",
    studies=studies,
    minutes=3.8,
)
