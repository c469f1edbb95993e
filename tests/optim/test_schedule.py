"""The learning rate of every step."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest

from groundup import TrainConfig
from groundup.train import learning_rate


def rates(**settings: Any) -> list[float]:
    config = TrainConfig(**{"learning_rate": 1e-3, **settings})
    return [learning_rate(step, config) for step in range(config.steps)]


def test_warmup_rises_in_equal_steps_to_the_peak() -> None:
    curve = rates(steps=100, warmup_steps=10, learning_rate=1.0)
    assert curve[:10] == pytest.approx([0.1 * i for i in range(1, 11)])


def test_linear_falls_in_equal_steps_to_zero_behind_the_last() -> None:
    curve = rates(steps=110, warmup_steps=10, learning_rate=1.0)
    assert curve[10:] == pytest.approx([1 - i / 100 for i in range(100)])
    tenth = rates(steps=100, warmup_steps=0, learning_rate=1.0, min_learning_rate=0.1)
    assert tenth[50] == pytest.approx(0.55)


def test_cosine_ends_at_the_minimum_and_is_half_way_in_the_middle() -> None:
    curve = rates(
        steps=101, warmup_steps=0, learning_rate=1.0, schedule="cosine", min_learning_rate=0.0
    )
    assert curve[0] == 1.0
    assert curve[50] == pytest.approx(0.5)
    assert curve[25] == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert curve[-1] == pytest.approx(0.0)


def test_wsd_is_flat_until_its_linear_decay() -> None:
    curve = rates(
        steps=100, warmup_steps=10, learning_rate=1.0, schedule="wsd", min_learning_rate=0.0
    )
    assert curve[10:80] == [1.0] * 70
    assert curve[99] == pytest.approx(0.0)
    falls = [a - b for a, b in pairwise(curve[80:])]
    assert falls == pytest.approx([falls[0]] * len(falls))


def test_constant_stays() -> None:
    assert set(rates(steps=30, warmup_steps=0, schedule="constant")) == {1e-3}


@pytest.mark.parametrize("schedule", ["linear", "cosine", "wsd", "constant"])
@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11, 2000])
def test_any_length_of_run_has_positive_rates(schedule: str, steps: int) -> None:
    curve = rates(steps=steps, schedule=schedule)
    assert all(0 < rate <= 1e-3 for rate in curve)
