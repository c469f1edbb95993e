"""A time budget is the same number of steps for all processes, whatever the clock of each tells."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from groundup import TrainConfig
from groundup.train.clock import TIMED_STEPS, Clock
from groundup.train.progress import Progress


def steps(seconds: float, agree: Callable[[int], int] = int) -> int:
    """Return how many steps a minute has for a process whose steps take so long each."""
    clock = Clock(TrainConfig(minutes=1.0), 100, time.perf_counter(), False, agree)
    progress = Progress()
    while not clock.timed:
        progress.step += 1
        progress.seconds += seconds
        clock.add(seconds, 100)
        clock.estimate(progress)
        assert progress.step <= TIMED_STEPS
    assert clock.estimate(progress) is None
    return clock.config.steps


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
