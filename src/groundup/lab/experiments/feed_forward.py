"""The feed-forward network: activations and gates at equal parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor

from groundup.lab.conclusions import HIGHER, LOWER, differences
from groundup.lab.conclusions.predicted import is_seen, with_predictions
from groundup.lab.experiment import (
    TRAINED,
    Arm,
    Experiment,
    Finding,
    Prediction,
    Results,
    Study,
)
from groundup.lab.measures.training import PLAIN, train_arm
from groundup.model import PARTS, FeedForward

TRAIN = {**PLAIN, "learning_rate": 3e-3, "batch_size": 8}


def unchanged(x: Tensor) -> Tensor:
    """Return `x`: two matrices without an activation between them are worth one."""
    return x


MY_PARTS = replace(
    PARTS,
    feed_forwards={**PARTS.feed_forwards, "linear": partial(FeedForward, activation=unchanged)},
)


def equal_ffn_dim(emb_dim: int) -> int:
    """Return the inner width at which a gated network is as large as a usual one of 4 x emb_dim.

    With its three matrices and biases it has 3 D F + 2 F + D parameters, the usual one 2 D F + F +
    D (Shazeer, 2020, gives it two thirds of the width likewise).
    """
    usual = 4 * emb_dim
    return round(usual * (2 * emb_dim + 1) / (3 * emb_dim + 2))


def studies(scale: float) -> Sequence[Study]:
    """Return the studies for so many times the default's time."""
    small = _activation(64, 2, 5 if scale < 2 else 10, 1.0)
    large = _activation(128, 4, 5 if scale < 10 else 10, max(1.0, scale / 10))
    return [small] if scale < 6 else [small, large]


def _activation(emb_dim: int, n_layers: int, n_seeds: int, longer: float) -> Study:
    gated = {"ffn_dim": equal_ffn_dim(emb_dim)}
    return Study(
        name=f"activation-{n_layers}x{emb_dim}",
        title=f"Activations and gates at equal parameters, {n_layers} layers {emb_dim} wide",
        kind=TRAINED,
        prediction=Prediction(
            says="Gated networks (swiglu, geglu) learn better than gelu, by 0.04 nats in the "
            "paper, and so does relu_squared. Without an activation (linear) two matrices do what "
            "one could: the loss is higher.",
            source="Shazeer, 2020, table 1: gelu 1.679, geglu 1.633, swiglu 1.636; So et al., 2021 "
            "(relu_squared); ours (linear)",
        ),
        equal="parameters within 1%: gated networks are narrower inside "
        f"({gated['ffn_dim']} for {4 * emb_dim}); data order, initial tensors of equal shape, "
        "steps, learning rate",
        measured="validation loss, nats a token",
        arms=[
            Arm(name="gelu", model={"feed_forward": "gelu"}),
            Arm(name="relu_squared", model={"feed_forward": "relu_squared"}),
            Arm(name="swiglu", model={"feed_forward": "swiglu", **gated}),
            Arm(name="geglu", model={"feed_forward": "geglu", **gated}),
            Arm(name="linear", model={"feed_forward": "linear"}, parts=MY_PARTS),
        ],
        seeds=range(1, 1 + n_seeds),
        model={"context_length": 64, "emb_dim": emb_dim, "n_heads": 4, "n_layers": n_layers},
        train={**TRAIN, "steps": round(1500 * longer)},
        measure=train_arm,
        conclude=conclude_activation,
    )


def conclude_activation(results: Results) -> Finding:
    """Return the differences from gelu."""
    expected = {"relu_squared": LOWER, "swiglu": LOWER, "geglu": LOWER, "linear": HIGHER}
    finding = differences(results, "val_loss", against="gelu")
    of = results.study.model
    answer = f"{of['n_layers']} layers {of['emb_dim']} wide: {finding.verdict}"
    parts = {
        f"{arm} is {'better' if direction == LOWER else 'worse'} than gelu": is_seen(
            finding, arm, direction
        )
        for arm, direction in expected.items()
    }
    return with_predictions(replace(finding, answer=answer), parts)


EXPERIMENT = Experiment(
    name="feed-forward",
    question="Which activation should the feed-forward network have, and does a gate pay for its "
    "third matrix?",
    studies=studies,
    minutes=3.3,
)
