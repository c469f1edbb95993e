from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import pytest

from groundup.lab.experiment import TRAINED, Arm, Finding, Prediction, Results, Setting, Study
from groundup.lab.measures.training import PLAIN, train_arm, trained
from tests.lab.results import TOY, settings


def not_concluded(results: Results) -> Finding:
    raise AssertionError


def setting(folder: Path, **train: Any) -> Setting:
    study = Study(
        name="one",
        title="One",
        kind=TRAINED,
        prediction=Prediction(says="nothing", source="ours"),
        equal="",
        measured="",
        arms=[Arm(name="one")],
        seeds=(1,),
        model=TOY,
        train={**PLAIN, "batch_size": 2, **train},
        measure=train_arm,
        conclude=not_concluded,
    )
    return next(iter(settings(study, folder).values()))


def test_the_curve_is_made_of_means(tmp_path: Path) -> None:
    losses: list[float] = []

    def listen(so_far: Any) -> bool:
        losses[:] = so_far
        return False

    _, values = trained(setting(tmp_path, steps=130), until=listen)
    assert values["curve_steps"] == list(range(2, 131, 2))
    means = [statistics.fmean(losses[i : i + 2]) for i in range(0, 130, 2)]
    assert values["curve"] == pytest.approx(means)
    assert values["train_loss"] == pytest.approx(statistics.fmean(losses[-13:]))
    assert values["cpu_seconds"] > 0


def test_a_long_training_tells_of_several_steps_at_once(tmp_path: Path) -> None:
    enough = 12

    def until(losses: Any) -> bool:
        return len(losses) >= enough

    _, values = trained(setting(tmp_path, steps=8000), until=until)
    assert values["curve_steps"] == list(range(1, 13)), "losses of 4 steps each"
    assert len(set(values["curve"])) == 3


def test_a_training_ends_when_it_has_shown_enough(tmp_path: Path) -> None:
    _, values = trained(setting(tmp_path, steps=50), until=lambda losses: len(losses) == 7)
    assert values["curve_steps"] == list(range(1, 8))
    assert values["val_loss"] == math.inf
    assert values["lost"] is False
