"""An experiment so small that it takes seconds: numbers at initialisation, and trainings."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from groundup.lab import (
    AT_INITIALISATION,
    PLAIN,
    TRAINED,
    Arm,
    Experiment,
    Finding,
    Prediction,
    Results,
    Setting,
    Study,
    train_arm,
)
from groundup.lab.experiment import Values, swept
from groundup.lab.measures.training import new_model

SHAPE = {"context_length": 8, "emb_dim": 8, "n_heads": 1, "n_layers": 1}
ARMS = (Arm(name="gelu", model={"feed_forward": "gelu"}), Arm(name="relu", options={"nap": 0.0}))


def weight(setting: Setting) -> Values:
    """Return the size of a weight; `nap` are seconds to be killed in."""
    time.sleep(setting.options.get("nap", 0.0))
    weight = new_model(setting).lm_head.weight
    return {"norm": weight.norm(), "first": weight[0].detach(), "lost": math.inf, "none": math.nan}


def same_for_all(results: Results) -> Finding:
    """Conclude whether all cells have a value."""
    n = sum(len(results.numbers("norm", arm.name, x)) for arm in ARMS for x in results.study.xs)
    return Finding(verdict=f"There are {n} norms.", came_out=n > 0, figures={"lost": math.inf})


def loss(results: Results) -> Finding:
    """Conclude which arm has the lower loss."""
    a, b = (sum(results.numbers("val_loss", arm.name)) for arm in ARMS)
    return Finding(verdict=f"{'gelu' if a < b else 'relu'} is lower.", came_out=None)


def studies(scale: float) -> Sequence[Study]:
    """Return both studies; the trained one has more seeds with a larger scale."""
    words: dict[str, Any] = {"equal": "all", "measured": "norm", "arms": ARMS, "model": SHAPE}
    prediction = Prediction(says="all will be well", source="ours")
    return [
        Study(
            name="start",
            title="Before",
            kind=AT_INITIALISATION,
            prediction=prediction,
            seeds=range(1, 4),
            xs=(1.0, 2.0),
            x_name="depth",
            at=swept("n_layers"),
            measure=weight,
            conclude=same_for_all,
            **words,
        ),
        Study(
            name="end",
            title="After",
            kind=TRAINED,
            prediction=prediction,
            seeds=range(1, 1 + round(2 * scale)),
            train={**PLAIN, "steps": 3, "batch_size": 2},
            measure=train_arm,
            conclude=loss,
            **words,
        ),
    ]


EXPERIMENT = Experiment(name="toy", question="Does the machinery run?", studies=studies)
