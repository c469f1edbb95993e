"""How large a batch is worth its cost, and whether the noise of a gradient tells it beforehand."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.optimize import curve_fit

from groundup.lab.conclusions.measured import mean_and_spread
from groundup.lab.conclusions.statistics import t_interval
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
from groundup.lab.measures.noise import noise_scale
from groundup.lab.measures.text import read_text
from groundup.lab.measures.training import PLAIN, trained
from groundup.report.charts import Chart, Series

CONTEXT = 64
MODEL = {"context_length": CONTEXT, "emb_dim": 64, "n_heads": 4, "n_layers": 2}
MOMENTS, EARLY = (10, 30, 100, 300, 1000), 30
"""Steps of training after which the noise is measured, and where its growth counts from."""
N_BATCHES, NOISE_SEED = 256, 1000
"""Small batches that tell the noise, and what draws them."""
GROWS = 3.0
"""So many times at least the noise scale grows."""
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
RATES = {"half the rate": 0.5, "the rate": 1.0, "twice the rate": 2.0}
RATE, AT_BATCH = 3e-3, 16
"""The package's rate for this width, used at this batch; it goes with the root of the batch."""
TARGET = 0.72
"""The loss to reach, as a share of the unigram entropy: below what pairs of characters give."""
WINDOW = 128
"""Sequences over which the loss is averaged."""
AGREE = 5.0
"""A noise scale and a critical batch that differ by no more, either way, are of one order."""
LEAST_SIZES = 4
"""Batch sizes that a fit of two numbers needs to be worth anything."""
N_RESAMPLED = 200
Scales = Mapping[float, tuple[float, float, float]]
"""Noise scales with their intervals, by step."""


def studies(scale: float) -> list[Study]:
    """Return the noise of a gradient and the steps to a loss; more seeds with more time."""
    seeds = range(1, max(5, round(5 * scale / EXPERIMENT.least)) + 1)
    return [noise(seeds), steps_to_a_loss(seeds)]


def noise(seeds: Sequence[int]) -> Study:
    """Return what measures the noise of the gradient in the course of a training."""
    return Study(
        name="noise",
        title="The gradient's noise in the course of a training",
        kind=TRAINED,
        prediction=Prediction(
            says="The noise scale grows while the loss falls, as the gradient shrinks more than "
            f"its noise: from step {EARLY} to step {MOMENTS[-1]:,} at least {GROWS:g} times",
            source="McCandlish et al., 2018, for the direction; the number: ours",
        ),
        equal=f"model, text, AdamW at {RATE:g} after a warm-up of 10 steps, batch of {AT_BATCH}; a "
        "seed's shorter trainings are the beginnings of its longest",
        measured="noise scale, in sequences of 64 tokens: the variance of one sequence's gradient, "
        "over the squared norm of the whole text's",
        arms=[Arm(name="AdamW")],
        seeds=seeds,
        xs=MOMENTS,
        x_name="step",
        at=swept_setting("steps"),
        model=MODEL,
        train={**PLAIN, "batch_size": AT_BATCH, "learning_rate": RATE, "warmup_steps": 10},
        options={"n_batches": N_BATCHES},
        measure=measure_noise,
        conclude=conclude_noise,
    )


def steps_to_a_loss(seeds: Sequence[int]) -> Study:
    """Return what measures how many steps of each batch size reach a loss."""
    return Study(
        name="steps",
        title="Steps to the same loss, by batch size",
        kind=TRAINED,
        prediction=Prediction(
            says="Doubling a small batch halves the steps; doubling a large one saves nothing: "
            "steps = S (1 + B / batch). The critical batch B is of the order of the noise scale, "
            f"within {AGREE:g} times either way",
            source="McCandlish et al., 2018; the number: ours",
        ),
        equal="model, text, initial tensors, AdamW, warm-up of 10 steps; three rates at each "
        f"batch size, half, once and twice {RATE:g} x root(batch / {AT_BATCH}), of which the best "
        "counts",
        measured=f"steps until the mean loss of {WINDOW} sequences is {TARGET:g} times the unigram "
        "entropy; the noise scale then",
        arms=[Arm(name=name, options={"factor": factor}) for name, factor in RATES.items()],
        seeds=seeds,
        xs=BATCHES,
        x_name="batch size",
        at=at_batch,
        model=MODEL,
        train={**PLAIN, "warmup_steps": 10},
        options={"n_batches": N_BATCHES},
        measure=measure_steps,
        conclude=conclude_steps,
    )


def at_batch(arm: Arm, size: float) -> Arm:
    """Return an arm at a batch size, with its rate there and steps for twice what is likely."""
    settings = {
        "batch_size": int(size),
        "learning_rate": arm.options["factor"] * RATE * math.sqrt(size / AT_BATCH),
        "steps": 250 + round(8_000 / size),
    }
    return replace(arm, train={**arm.train, **settings})


def measure_noise(setting: Setting) -> Values:
    """Train, then measure the gradient's noise on random windows of the text."""
    model, values = trained(setting)
    text = read_text(setting.text)
    n_batches = setting.options["n_batches"]
    return {**values, "noise_scale": noise_scale(model, text.splits[0], NOISE_SEED, n_batches)}


def measure_steps(setting: Setting) -> Values:
    """Train until the loss is reached; infinitely many steps where it is not."""
    text = read_text(setting.text)
    target = TARGET * text.unigram_entropy
    width = max(1, WINDOW // setting.train.batch_size)

    def reached(losses: Sequence[float]) -> bool:
        return len(losses) >= width and statistics.fmean(losses[-width:]) < target

    steps = math.inf

    def until(losses: Sequence[float]) -> bool:
        nonlocal steps
        if reached(losses):
            steps = len(losses) - (width - 1) / 2
        return reached(losses)

    model, values = trained(setting, until=until)
    noise, n_batches = math.inf, setting.options["n_batches"]
    if math.isfinite(steps):
        noise = noise_scale(model, text.splits[0], NOISE_SEED, n_batches)
    return {**values, "steps": steps, "noise_scale": noise, "target": target}


def conclude_noise(results: Results) -> Finding:
    """Tell by how much the noise scale grew."""
    by_step = {x: results.numbers("noise_scale", "AdamW", x) for x in results.study.xs}
    if not all(math.isfinite(scale) for scales in by_step.values() for scale in scales):
        return Finding(
            verdict="At some step a gradient's signal could not be told from its noise.",
            came_out=None,
        )
    pairs = zip(by_step[MOMENTS[-1]], by_step[EARLY], strict=True)
    growth, low, high = _geometric([last / first for last, first in pairs])
    scales = {x: _geometric(scales) for x, scales in by_step.items()}
    return Finding(
        verdict=f"The noise scale went from {scales[EARLY][0]:.0f} sequences at step {EARLY} to "
        f"{scales[MOMENTS[-1]][0]:.0f} at step {MOMENTS[-1]:,}: {growth:.1f} times (95% interval "
        f"{low:.1f} to {high:.1f}).",
        came_out=low > GROWS,
        tables=[_noise_table(results, scales)],
        charts=[_noise_chart(scales)],
        figures={"growth": growth, "growth_interval": [low, high]},
    )


def _geometric(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the geometric mean of positive values and its 95% interval."""
    mean, low, high = t_interval([math.log(value) for value in values])
    return math.exp(mean), math.exp(low), math.exp(high)


def _noise_table(results: Results, scales: Scales) -> Table:
    rows = []
    for x, (scale, low, high) in scales.items():
        loss = statistics.fmean(results.numbers("train_loss", "AdamW", x))
        rows.append([f"{x:,.0f}", f"{loss:.2f}", f"{scale:.0f}", f"{low:.0f} to {high:.0f}"])
    return Table(
        title="Noise scale, in sequences of 64 tokens",
        head=["step", "loss", "noise scale", "95% interval"],
        rows=rows,
    )


def _noise_chart(scales: Scales) -> Chart:
    noise = Series(
        name="noise scale",
        points=[(x, scale) for x, (scale, _, _) in scales.items()],
        spread=[(low, high) for _, low, high in scales.values()],
        dots=True,
    )
    return Chart(
        title="Noise scale in the course of training",
        series=[noise],
        y_label="sequences of 64 tokens",
        x_log=True,
        y_log=True,
    )


def conclude_steps(results: Results) -> Finding:
    """Fit the steps by batch size, and compare the critical batch with the noise scale."""
    steps = best_steps(results)
    if len(steps) < LEAST_SIZES:
        return Finding(
            verdict=f"The loss was reached at {len(steps)} batch sizes: a fit needs {LEAST_SIZES}.",
            came_out=None,
        )
    fewest, critical = fitted({x: statistics.fmean(by_seed) for x, by_seed in steps.items()})
    low, high = resampled(steps)
    noise = _noise_then(results)
    return Finding(
        verdict=f"Steps follow {fewest:.0f} x (1 + {critical:.0f} / batch): the critical batch is "
        f"{critical:.0f} sequences (95% interval {low:.0f} to {high:.0f}), {critical / noise:.2g} "
        f"times the gradient's noise scale there, {noise:.0f}.",
        came_out=1 / AGREE < critical / noise < AGREE,
        tables=[_table(steps, fewest, critical)],
        charts=[_chart(steps, fewest, critical)],
        notes=[
            *_notes(results, steps),
            f"The interval is of {len(results.seeds)} seeds drawn anew, with replacement: the "
            "fewer they are, the more it is too narrow.",
        ],
        figures={
            "fewest_steps": fewest,
            "critical_batch": critical,
            "critical_batch_interval": [low, high],
            "noise_scale": noise,
        },
    )


def _noise_then(results: Results) -> float:
    """Return the median noise scale of all trainings that reached the loss, at that moment."""
    scales = (
        s for a in RATES for x in results.study.xs for s in results.numbers("noise_scale", a, x)
    )
    return statistics.median(scale for scale in scales if math.isfinite(scale))


def best_steps(results: Results) -> dict[float, list[float]]:
    """Return the steps at each batch size, one a seed, at the rate that is best in the mean.

    Rates with which a seed did not get there are left out, and sizes that have no other.
    """
    steps = {}
    for x in results.study.xs:
        by_rate = [results.numbers("steps", arm, x) for arm in RATES]
        there = [by_seed for by_seed in by_rate if all(map(math.isfinite, by_seed))]
        if there:
            steps[x] = min(there, key=statistics.fmean)
    return steps


def fitted(steps: dict[float, float]) -> tuple[float, float]:
    """Return S and B of steps = S (1 + B / batch), by least squares of logarithms."""
    sizes, logs = np.array(list(steps)), np.log(list(steps.values()))
    found, _ = curve_fit(_log_steps, sizes, logs, p0=(logs.min(), math.log(AT_BATCH)))
    return math.exp(found[0]), math.exp(found[1])


def resampled(steps: dict[float, list[float]]) -> tuple[float, float]:
    """Return the 95% interval of the critical batch: seeds drawn anew with replacement."""
    rng, criticals = np.random.default_rng(1), []
    n_seeds = len(next(iter(steps.values())))
    for _ in range(N_RESAMPLED):
        drawn = rng.integers(n_seeds, size=n_seeds)
        means = {x: statistics.fmean(by_seed[i] for i in drawn) for x, by_seed in steps.items()}
        criticals.append(fitted(means)[1])
    low, high = np.percentile(criticals, [2.5, 97.5])
    return float(low), float(high)


def _log_steps(sizes: Any, log_fewest: float, log_critical: float) -> Any:
    return log_fewest + np.log1p(np.exp(log_critical) / sizes)


def _table(steps: dict[float, list[float]], fewest: float, critical: float) -> Table:
    rows = []
    for x, by_seed in steps.items():
        mean = statistics.fmean(by_seed)
        tokens = f"{mean * x * CONTEXT:,.0f}"
        rows.append([f"{x:g}", f"{mean:,.0f}", f"{fewest * (1 + critical / x):,.0f}", tokens])
    return Table(
        title="Steps to the loss", head=["batch", "steps", "by the fit", "tokens"], rows=rows
    )


def _chart(steps: dict[float, list[float]], fewest: float, critical: float) -> Chart:
    return Chart(
        title="Steps against batch size",
        series=[
            Series(
                name="measured",
                points=[(x, statistics.fmean(by_seed)) for x, by_seed in steps.items()],
                spread=[mean_and_spread(by_seed)[1] for by_seed in steps.values()],
                dots=True,
                line=False,
            ),
            Series(
                name="fit",
                points=[(x, fewest * (1 + critical / x)) for x in steps],
                colour=1,
                dash=1,
                reference=True,
            ),
        ],
        x_label="sequences of 64 tokens in a batch",
        y_label="steps to the loss",
        x_log=True,
        y_log=True,
    )


def _notes(results: Results, steps: dict[float, list[float]]) -> list[str]:
    missing = [f"{x:g}" for x in results.study.xs if x not in steps]
    notes = ["The noise scale is the median over all trainings when they reached the loss."]
    if missing:
        notes.append(f"No rate reached the loss with every seed at batch {', '.join(missing)}.")
    return notes


EXPERIMENT = Experiment(
    name="batch",
    question="How large a batch is worth its cost, and does the gradient's noise tell it?",
    studies=studies,
    answered_by=("steps",),
    least=4.0,
)
