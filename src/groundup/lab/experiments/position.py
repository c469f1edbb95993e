"""Position: what a model without it, with learned, sinusoidal and rotary positions knows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from groundup.config import GPTConfig
from groundup.lab.conclusions import HIGHER, LOWER, differences
from groundup.lab.conclusions.predicted import differs_by, is_seen, with_predictions, within
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
)
from groundup.lab.measures.long_reading import longer, losses_by_position
from groundup.lab.measures.repeating import DISTANCE, least_loss, repeating_text
from groundup.lab.measures.text import LabText, read_text
from groundup.lab.measures.training import PLAIN, trained
from groundup.model import GPT, PARTS, LearnedPositions
from groundup.model.positions import Rotate, unrotated
from groundup.report.charts import Chart, Series

CONTEXT = 64
FURTHER = 4
"""Times the trained context that a model is read to, where it can be."""
BUCKET = 8
"""Neighbouring positions whose losses are averaged."""
NEAR = 0.1
"""Nats above the least possible loss below which a model has learnt."""
MOST_WITHOUT = 0.3
"""Nats that a model without positions is predicted to lose by at most."""
TOLD_WHERE = ("learned", "sinusoidal", "rotary")
"""The arms whose tokens are told where they stand."""
MODEL: dict[str, Any] = {
    "context_length": CONTEXT,
    "emb_dim": 64,
    "n_heads": 4,
    "n_layers": 2,
}
TRAIN = {**PLAIN, "learning_rate": 3e-3, "batch_size": 8}
STEPS = 1000
EQUAL = (
    f"2 layers 64 wide, 4 heads, context {CONTEXT}; all parameters but the learned positions' own; "
    "data order, initial tensors of equal shape, steps, learning rate. Sinusoidal multiplies "
    "embeddings by sqrt(emb_dim), as published"
)


class NoPositions(nn.Module):
    """Tell a token nothing about where it stands."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.n_layers = config.n_layers

    def forward(self, x: Tensor, positions: slice | Tensor) -> Tensor:
        """Return `x` (B, T, D) as it is."""
        return x

    def rotations(self, positions: slice | Tensor, device: torch.device) -> list[Rotate]:
        """Return for each layer that it turns nothing."""
        return [unrotated] * self.n_layers


class SinusoidalPositions(NoPositions):
    """Add sines and cosines of a position (Vaswani et al., 2017, section 3.5).

    Of D/2 pairs, pair i is the sine and cosine of position / 10000^(2i/D), of size 1 as published;
    the pairs' halves stand side by side, which to a model that learns is the same.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__(config)
        rates = 10000.0 ** -(torch.arange(0, config.emb_dim, 2, device="cpu") / config.emb_dim)
        angles = torch.arange(config.context_length, device="cpu")[:, None] * rates  # (T, D/2)
        waves = torch.cat([angles.sin(), angles.cos()], dim=-1)[:, : config.emb_dim]  # (T, D)
        self.waves: Tensor
        self.register_buffer("waves", waves, persistent=False)

    def forward(self, x: Tensor, positions: slice | Tensor) -> Tensor:
        """Return `x` (B, T, D) with the waves of each token's position added."""
        return x + self.waves[positions]


MY_PARTS = replace(
    PARTS, positions={**PARTS.positions, "none": NoPositions, "sinusoidal": SinusoidalPositions}
)
ARMS = [
    Arm(name="learned"),
    Arm(name="none", model={"position": "none"}, parts=MY_PARTS),
    Arm(
        name="sinusoidal",
        model={"position": "sinusoidal", "embedding_scale": True},
        parts=MY_PARTS,
    ),
    Arm(name="rotary", model={"position": "rope"}),
]


def studies(scale: float) -> Sequence[Study]:
    """Return the studies for so many times the default's time."""
    seeds = range(1, 11 if scale >= 2 else 6)
    usual = [_text("text", STEPS, seeds), _distance(seeds)]
    if scale < 4:
        return usual
    steps = round(4 * STEPS * max(1.0, scale / 6))
    return [*usual, _text("text-longer", steps, range(1, 11 if scale >= 6 else 6))]


def _text(name: str, steps: int, seeds: Sequence[int]) -> Study:
    return Study(
        name=name,
        title=f"Loss by position, and beyond the trained length, after {steps:,} steps",
        kind=TRAINED,
        prediction=Prediction(
            says="Without positions a causal model learns worse than with learned ones, but by "
            f"less than {MOST_WITHOUT} nats: it can count what it sees. Rotary learns better. "
            "Beyond the trained length sinusoidal and rotary get worse than at its end; learned "
            "has nothing there.",
            source="Haviv et al., 2022; Su et al., 2021; Press et al., 2022 (beyond the length)",
        ),
        equal=EQUAL,
        measured=f"validation loss, nats a token, in windows of {CONTEXT} tokens as trained; then "
        f"by position in windows of {FURTHER * CONTEXT}",
        arms=ARMS,
        seeds=seeds,
        model=MODEL,
        train={**TRAIN, "steps": steps},
        measure=measure_text,
        conclude=conclude_text,
    )


def _distance(seeds: Sequence[int]) -> Study:
    return Study(
        name="distance",
        title=f"Repeating what stood {DISTANCE} tokens before",
        kind=TRAINED,
        prediction=Prediction(
            says=f"In a made-up text whose letter is 9 times in 10 that of {DISTANCE} before, and "
            "else any, only where a token stands helps. All kinds of positions learn it; without "
            "any, a model learns it worse.",
            source="ours; that a causal model can count without them: Haviv et al., 2022",
        ),
        equal=EQUAL,
        measured="validation loss, nats a token",
        arms=ARMS,
        seeds=seeds,
        model=MODEL,
        train={**TRAIN, "steps": STEPS},
        measure=measure_distance,
        conclude=conclude_distance,
    )


def measure_text(setting: Setting) -> Values:
    """Train, and return the loss by position, up to `FURTHER` times the trained context.

    by_position: nats a token, each the mean over `BUCKET` positions; beyond: the same over all
    positions of the second half of what is read, left out where a model cannot read so far.
    """
    return _read(*trained(setting), read_text(setting.text))


def measure_distance(setting: Setting) -> Values:
    """Do as `measure_text` with a made-up text in which position alone tells the next token."""
    text = repeating_text(setting.cell.seed)
    of_first, first_parts = setting.reference
    setting = replace(
        setting,
        config=setting.config.replace(vocab_size=text.tokenizer.vocab_size),
        reference=(of_first.replace(vocab_size=text.tokenizer.vocab_size), first_parts),
    )
    return _read(*trained(setting, text), text)


def _read(model: GPT, values: Values, text: LabText) -> Values:
    """Return values with the losses by position, as far as a model that was not lost can read."""
    if values["lost"]:
        return values
    learned = isinstance(model.position_embedding, LearnedPositions)
    losses = losses_by_position(model if learned else longer(model, FURTHER), text.splits[1])
    buckets = losses.reshape(-1, BUCKET).mean(axis=1)
    read: dict[str, Any] = {
        "by_position": buckets.tolist(),
        "end": float(losses[CONTEXT // 2 : CONTEXT].mean()),
    }
    if not learned:
        read["beyond"] = float(losses[FURTHER * CONTEXT // 2 :].mean())
    return {**values, **read}


def conclude_text(results: Results) -> Finding:
    """Return the differences within the trained length, and what becomes of each arm beyond."""
    finding = differences(results, "val_loss", against="learned")
    grows = {arm: _grows(results, arm) for arm in ("none", "sinusoidal", "rotary")}
    words = "; ".join(f"{arm} {low:+.2f} to {high:+.2f}" for arm, (low, high) in grows.items())
    verdict = (
        f"{finding.verdict} At 2 to 4 times the trained length the loss differs from that at its "
        f"end by (95% intervals, nats): {words}; learned positions have no vectors there."
    )
    figures = {**finding.figures, "beyond": {arm: list(ends) for arm, ends in grows.items()}}
    finding = with_predictions(
        replace(finding, verdict=verdict, figures=figures),
        {
            "none is worse than learned": is_seen(finding, "none", HIGHER),
            f"none loses less than {MOST_WITHOUT} nats": differs_by(
                finding, "none", -math.inf, MOST_WITHOUT
            ),
            "rotary is better than learned": is_seen(finding, "rotary", LOWER),
            "sinusoidal gets worse beyond": within(grows["sinusoidal"], 0.0, math.inf),
            "rotary gets worse beyond": within(grows["rotary"], 0.0, math.inf),
        },
    )
    return _with_positions(finding, results)


def _grows(results: Results, arm: str) -> tuple[float, float]:
    """Return the interval of how much higher the loss is beyond the trained length than there.

    Without bounds where fewer than two runs were not lost.
    """
    ends, beyond = (_measured(results, metric, arm) for metric in ("end", "beyond"))
    if len(ends) < 2:
        return -math.inf, math.inf
    _, low, high = t_interval([far - near for far, near in zip(beyond, ends, strict=True)])
    return low, high


def conclude_distance(results: Results) -> Finding:
    """Return the differences, with the entropy that nobody can beat."""
    finding = differences(results, "val_loss", against="learned")
    note = (
        f"Once {DISTANCE} tokens are seen, the least possible mean loss is {least_loss():.3f} nats."
    )
    finding = with_predictions(
        replace(finding, notes=[*finding.notes, note]),
        {
            "none is worse than learned": is_seen(finding, "none", HIGHER),
            **{f"{arm} learns it": _learns(results, arm) for arm in TOLD_WHERE},
        },
    )
    return _with_positions(finding, results, least_loss())


def _learns(results: Results, arm: str) -> bool | None:
    """Return whether the loss at the end of a window comes near the least possible."""
    ends = _measured(results, "end", arm)
    return statistics.fmean(ends) < least_loss() + NEAR if ends else None


def _with_positions(finding: Finding, results: Results, least: float | None = None) -> Finding:
    near, far = (f"positions {n // 2} to {n}" for n in (CONTEXT, FURTHER * CONTEXT))
    table = Table(
        title="Loss at the end of the trained length, and at 2 to 4 times of it, nats a token",
        head=["arm", near, far],
        rows=[
            [arm.name, *(_mean(results, name, arm.name) for name in ("end", "beyond"))]
            for arm in results.study.arms
        ],
    )
    series = [
        Series(name=arm.name, points=_curve(results, arm.name), colour=i, dash=i)
        for i, arm in enumerate(results.study.arms)
    ]
    if least is not None:
        points = [(0.0, least), (float(FURTHER * CONTEXT), least)]
        series.append(Series(name="least possible", points=points, reference=True))
    chart = Chart(
        title=f"Loss by position, {results.study.name}",
        series=series,
        x_label="position in the window",
        y_label="loss, nats a token",
        remark=f"Trained with windows of {CONTEXT} tokens. Learned positions end there.",
    )
    return replace(finding, tables=[*finding.tables, table], charts=[*finding.charts, chart])


def _measured(results: Results, metric: str, arm: str) -> list[Any]:
    """Return what the runs of an arm measured that were not lost."""
    return [values[metric] for values in results.of_seeds(arm) if metric in values]


def _mean(results: Results, metric: str, arm: str) -> str:
    measured = _measured(results, metric, arm)
    return f"{statistics.fmean(measured):.3f}" if measured else "not possible"


def _curve(results: Results, arm: str) -> list[tuple[float, float]]:
    """Return the mean loss over the seeds at the middle of each bucket of positions."""
    curves = _measured(results, "by_position", arm)
    return [
        (BUCKET * (i + 0.5), statistics.fmean(losses))
        for i, losses in enumerate(zip(*curves, strict=True))
    ]


EXPERIMENT = Experiment(
    name="position",
    question="What does a model know without positions, and how far can learned, sinusoidal and "
    "rotary ones be read?",
    studies=studies,
    answered_by=("text",),
    minutes=3.9,
)
