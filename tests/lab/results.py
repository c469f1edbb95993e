"""Results as a study's conclusion gets them, made up rather than measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from groundup.lab.experiment import (
    TRAINED,
    Arm,
    Cell,
    Finding,
    Prediction,
    Results,
    Setting,
    Study,
    Values,
)


def _not_run(setting: Setting) -> Values:
    raise AssertionError("a conclusion measures nothing")


def _not_concluded(results: Results) -> Finding:
    raise AssertionError


def made_up(
    values: Mapping[str, Sequence[Any]] | Mapping[str, Mapping[float, Sequence[Any]]],
    metric: str = "val_loss",
    **fields: Any,
) -> Results:
    """Return results of arms: a metric (or, as dictionaries, several) a seed, at each x if any."""
    by_x: dict[str, dict[float, Sequence[Any]]] = {
        arm: dict(one) if isinstance(one, Mapping) else {0.0: one} for arm, one in values.items()
    }
    first = next(iter(by_x.values()))
    study = Study(
        **{
            "name": "made-up",
            "title": "Made up",
            "kind": TRAINED,
            "prediction": Prediction(says="nothing", source="ours"),
            "equal": "all else",
            "measured": "nothing",
            "arms": [Arm(name=name) for name in by_x],
            "seeds": tuple(range(1, 1 + len(next(iter(first.values()))))),
            "xs": tuple(first),
            "measure": _not_run,
            "conclude": _not_concluded,
            **fields,
        }
    )
    return Results(
        study,
        {
            Cell(study.name, arm, x, seed): value if isinstance(value, dict) else {metric: value}
            for arm, one in by_x.items()
            for x, numbers in one.items()
            for seed, value in zip(study.seeds, numbers, strict=True)
        },
    )
