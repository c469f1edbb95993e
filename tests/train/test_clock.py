"""A time budget is the same number of steps for all processes, whatever the clock of each tells."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from groundup import TrainConfig
from groundup.train.clock import TIMED_STEPS, Clock
from groundup.train.progress import Progress


def settings(
    seconds: float,
    agree: Callable[[int], int] = int,
    *,
    pause: float = 0.0,
    tokens: Callable[[int], int] = lambda step: 100,
) -> TrainConfig:
    """Return what a minute is filled with where 100 tokens take so long, and a pause so long."""
    clock = Clock(TrainConfig(minutes=1.0), 100, time.perf_counter(), False, agree)
    clock.pause, progress = pause, Progress()
    while not clock.timed:
        progress.step += 1
        spent = seconds * tokens(progress.step) / 100
        progress.seconds += spent
        clock.add(spent, tokens(progress.step))
        clock.estimate(progress)
        assert progress.step <= TIMED_STEPS
    assert clock.estimate(progress) is None
    return clock.config


def steps(seconds: float, agree: Callable[[int], int] = int) -> int:
    """Return how many steps a minute has for a process whose steps take so long each."""
    return settings(seconds, agree).steps


def test_steps_of_other_lengths_than_most_do_not_mislead() -> None:
    mixed = settings(1.0, tokens=lambda step: 1000 if step < 3 else 100)  # timed at step 3
    assert mixed.steps == pytest.approx(steps(1.0), abs=5)


def test_steps_without_a_token_are_timed_too() -> None:
    assert settings(0.1, tokens=lambda step: 0 if step == 2 else 100).steps > 500


def test_dear_validations_are_few_and_leave_most_of_the_time_to_learning() -> None:
    cheap, dear, dearest = (settings(0.5, pause=pause) for pause in (0.1, 2.0, 10.0))
    assert cheap.eval_every is None
    assert dear.eval_every == -(-dear.steps // 3)  # in 12 of 60 seconds: three, the last for two
    assert 0.5 * dear.steps == pytest.approx(60 * 0.97 - 5 * 2.0, abs=12)
    assert dearest.eval_every == dearest.steps
    assert 0.5 * dearest.steps == pytest.approx(60 * 0.97 - 2 * 10.0, abs=12)


def test_a_minute_is_filled_with_steps() -> None:
    assert 560 < steps(0.1) <= 602
    assert 5 < steps(10) < 10


def test_the_process_with_the_fewest_steps_decides() -> None:
    assert steps(0.1, lambda wish: max(wish, -50)) == 50
    assert steps(0.1, lambda wish: max(wish, -5000)) == pytest.approx(steps(0.1), abs=1)


def test_steps_that_are_slow_for_one_process_are_timed_early_by_all() -> None:
    asked: list[int] = []

    def agree(wish: int) -> int:
        asked.append(wish)
        return 1 if wish >= 0 and len(asked) == 4 else wish

    steps(0.1, agree)
    assert len(asked) == 5
