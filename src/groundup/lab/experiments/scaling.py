"""A small scaling law: does the loss of small models tell that of a larger one beforehand?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from groundup.lab.conclusions.law import Law, Point, fit_law
from groundup.lab.experiment import (
    TRAINED,
    Arm,
    Experiment,
    Finding,
    Prediction,
    Results,
    Setting,
    Study,
    Table,
    Values,
    swept_setting,
)
from groundup.lab.measures.training import PLAIN, trained
from groundup.report.charts import Chart, Series

WIDTHS = (16, 32, 64, 96, 128)
WIDER, WIDER_FROM = 192, 7.0
"""A still larger one to predict, with so many times the default's time."""
STEPS = (250, 500, 1000, 2000)
"""Of 512 tokens: up to 1 million, nearly all that the text of an experiment has, each once. Five
seeds of five widths are 48 million tokens, about 20 CPU minutes."""
BATCH, CONTEXT = 8, 64
RATE = 0.2
"""Divided by the width: the best rate of AdamW falls so (Yang et al., 2022)."""
NEAR = 0.05
"""Nats a token: a loss predicted within this is predicted well."""
N_RESAMPLED = 100
"""Fits of seeds drawn with replacement, whose spread gives the intervals."""


def studies(scale: float) -> list[Study]:
    """Return the one study; with more time the largest model is larger, or there are more seeds."""
    widths = (*WIDTHS, WIDER) if scale >= WIDER_FROM else WIDTHS
    least = WIDER_FROM if scale >= WIDER_FROM else EXPERIMENT.least
    steps = [max(20, round(n * min(1.0, scale / EXPERIMENT.least))) for n in STEPS]
    return [
        Study(
            name="law",
            title="The loss by size and text, and that of the largest model told by the others",
            kind=TRAINED,
            prediction=Prediction(
                says="E + A / N^a + B / D^b, fitted to the smaller models, tells the loss of the "
                f"largest one after its longest training within {NEAR} nats",
                source="the form: Hoffmann et al., 2022, who found a = 0.34 and b = 0.28 for much "
                "larger models; that it holds for ones so small: ours",
            ),
            equal=f"2 layers, batch of {BATCH}, AdamW at {RATE:g} / width with a cosine to a tenth "
            "over each training's own steps, order of the data",
            measured="loss on the validation text, nats a token; all parameters are counted",
            arms=[
                Arm(
                    name=f"{width} wide",
                    model={"emb_dim": width},
                    train={"learning_rate": RATE / width},
                )
                for width in widths
            ],
            seeds=range(1, 5 * max(1, int(scale / least)) + 1),
            xs=steps,
            x_name="step",
            at=swept_setting("steps"),
            model={"context_length": CONTEXT, "n_heads": 4, "n_layers": 2},
            train={**PLAIN, "batch_size": BATCH, "schedule": "cosine", "warmup_steps": None},
            measure=measure,
            conclude=conclude,
        )
    ]


def measure(setting: Setting) -> Values:
    """Train, and count the model's parameters and the tokens it learnt from."""
    model, values = trained(setting)
    tokens = setting.train.steps * setting.train.sequences_per_step * setting.config.context_length
    return {
        **values,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "tokens": tokens,
    }


def conclude(results: Results) -> Finding:
    """Fit the law to all but the largest model, and compare it with what that one reached."""
    *smaller, largest = (arm.name for arm in results.study.arms)
    seeds = range(len(results.seeds))
    if not all(math.isfinite(point.loss) for point in points(results, [*smaller, largest], seeds)):
        return Finding(verdict="A training was lost: the law cannot be fitted.", came_out=None)
    law = fit_law(points(results, smaller, seeds))
    laws = resampled(results, smaller, law)
    reached = points(results, [largest], seeds)[-1]
    told = law.loss(reached.parameters, reached.tokens)
    figures = {
        "law": law._asdict(),
        "told": told,
        "told_interval": _interval([one.loss(reached.parameters, reached.tokens) for one in laws]),
        "reached": reached.loss,
        "size_exponent_interval": _interval([one.size_exponent for one in laws]),
        "data_exponent_interval": _interval([one.data_exponent for one in laws]),
    }
    return Finding(
        verdict=f"Fitted to {len(smaller)} smaller sizes, the law tells {told:.3f} nats "
        f"({_range(figures['told_interval'])}) for {largest} ({reached.parameters:,.0f} "
        f"parameters) after {reached.tokens:,.0f} tokens. It reached {reached.loss:.3f}: the law "
        f"is {abs(told - reached.loss):.3f} too {'high' if told > reached.loss else 'low'}. The "
        f"exponents are {law.size_exponent:.2f} ({_range(figures['size_exponent_interval'], 2)}) "
        f"for size and {law.data_exponent:.2f} ({_range(figures['data_exponent_interval'], 2)}) "
        "for text.",
        came_out=abs(told - reached.loss) < NEAR,
        tables=[_table(results, law)],
        charts=[_chart(results, law)],
        notes=[
            "The intervals (95%) are of the seeds: of a law of another form they say nothing.",
            "By the law the best size grows with computation to the power of "
            f"{law.best_size_exponent:.2f}, b / (a + b).",
        ],
        figures=figures,
    )


def points(results: Results, arms: Sequence[str], seeds: Sequence[int]) -> list[Point]:
    """Return the mean loss of each arm and length, over seeds by number (from 0), with repeats."""
    found = []
    for arm in arms:
        for x in results.study.xs:
            run = results.get(arm, x)
            assert run is not None, "a study is concluded from all its cells"
            losses = results.numbers("val_loss", arm, x)
            loss = statistics.fmean(losses[seed] for seed in seeds)
            found.append(Point(run["parameters"], run["tokens"], loss))
    return found


def resampled(results: Results, arms: Sequence[str], law: Law) -> list[Law]:
    """Return laws fitted to seeds that are drawn anew, with replacement; `law` fits all of them."""
    rng, n = np.random.default_rng(1), len(results.seeds)
    drawn = (rng.integers(n, size=n).tolist() for _ in range(N_RESAMPLED))
    return [fit_law(points(results, arms, seeds), near=law) for seeds in drawn]


def _interval(values: Sequence[float]) -> list[float]:
    return [float(value) for value in np.percentile(values, [2.5, 97.5])]


def _range(interval: Any, decimals: int = 3) -> str:
    low, high = interval
    return f"{low:.{decimals}f} to {high:.{decimals}f}"


def _table(results: Results, law: Law) -> Table:
    rows = []
    seeds = range(len(results.seeds))
    for arm in results.study.arms:
        for point in points(results, [arm.name], seeds):
            told = law.loss(point.parameters, point.tokens)
            rows.append(
                [
                    arm.name,
                    f"{point.parameters:,.0f}",
                    f"{point.tokens:,.0f}",
                    f"{point.loss:.3f}",
                    f"{told:.3f}",
                    f"{told - point.loss:+.3f}",
                ]
            )
    return Table(
        title="Losses, and what the law says of them; the last size took no part in its fit",
        head=["model", "parameters", "tokens", "loss", "law", "law - loss"],
        rows=rows,
    )


def _chart(results: Results, law: Law) -> Chart:
    series, seeds = [], range(len(results.seeds))
    *_, largest = results.study.arms
    for i, arm in enumerate(results.study.arms):
        of_arm = points(results, [arm.name], seeds)
        last = ", not in the fit" if arm is largest else ""
        lines = [(p.tokens, law.loss(p.parameters, p.tokens)) for p in of_arm]
        measured = [(p.tokens, p.loss) for p in of_arm]
        series += [
            Series(
                name=f"{arm.name}{last}", points=measured, colour=i, dash=i, dots=True, line=False
            ),
            Series(name=f"{arm.name}, by the law", points=lines, colour=i, dash=i, reference=True),
        ]
    return Chart(
        title="Loss by text, for each size",
        series=series,
        x_label="tokens trained",
        y_label="validation loss, nats a token",
        x_log=True,
    )


EXPERIMENT = Experiment(
    name="scaling",
    question="Does the loss of small models tell that of a larger one, before it is trained?",
    studies=studies,
    least=3.0,
)
