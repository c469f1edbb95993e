"""The figures that the speedrun states, and that its recipe is one that `train` takes."""

from __future__ import annotations

import math

import pytest

from benchmarks import speedrun, speedrun_long
from benchmarks.student import chance_of_mean_at_or_above, confidence_95, tail
from groundup.config import TrainConfig, build, preset
from groundup.config.fields import field_types


@pytest.mark.parametrize(
    ("t", "freedom", "expected"),
    [(12.706, 1, 0.025), (2.776, 4, 0.025), (3.747, 4, 0.01), (1.812, 10, 0.05), (0.0, 7, 0.5)],
)
def test_the_tail_is_that_of_the_tables(t: float, freedom: int, expected: float) -> None:
    assert tail(t, freedom) == pytest.approx(expected, rel=1e-3)


def test_a_mean_and_its_interval_worked_out_by_hand() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0]  # mean 3, deviation sqrt(2.5), of the mean sqrt(0.5)
    interval = confidence_95(values)
    assert interval is not None
    assert interval == pytest.approx(
        (3 - 2.7764 * math.sqrt(0.5), 3 + 2.7764 * math.sqrt(0.5)), rel=1e-3
    )
    bound = 3 + 3.747 * math.sqrt(0.5)
    assert chance_of_mean_at_or_above(values, bound) == pytest.approx(0.01, rel=1e-2)
    assert confidence_95([1.0]) is None
    assert chance_of_mean_at_or_above([1.0], 2.0) is None


@pytest.mark.parametrize(
    ("name", "recipe", "window"),
    [
        (speedrun.OUR_PRESET, speedrun.OUR_RECIPE, speedrun.WINDOW),
        (speedrun_long.PRESET, speedrun_long.RECIPE, speedrun_long.WINDOW),
    ],
)
def test_recipes_are_of_known_settings(name: str, recipe: dict[str, object], window: int) -> None:
    config = preset(name, **{k: v for k, v in recipe.items() if k not in field_types(TrainConfig)})
    assert config.context_length == window
    build(TrainConfig, {k: v for k, v in recipe.items() if k in field_types(TrainConfig)})
