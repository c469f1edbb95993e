"""How many threads compute a step follows what other programs leave, and seldom changes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest

from groundup.base.load import CoreWatch, Load
from groundup.train.step_threads import StepThreads

Seconds = Callable[[float, int], float]


class Machine(CoreWatch):
    """Cores of which others use some, on a clock of its own."""

    def __init__(self, others: Callable[[float], float], cores: int = 2) -> None:
        self.now, self.others, self.cores, self.used = 0.0, others, cores, cores

    def look(self) -> Load:
        others = self.others(self.now)
        return Load(min(others, self.cores), max(0.0, self.cores - others - self.used))

    def train(self, seconds: Seconds, until: float) -> list[tuple[float, int]]:
        """Take steps until a time; return when the number of threads became another."""
        threads, changes = StepThreads(self.cores, self), list[tuple[float, int]]()
        while self.now < until:
            spent = seconds(self.now, threads.count)
            self.now, self.used = self.now + spent, threads.count
            threads.add(spent, 100)
            if (count := threads.choose()) != self.used:
                changes.append((self.now, count))
        return changes


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Machine]:
    """Return what makes a machine by whose clock threads are chosen."""

    def make(others: Callable[[float], float], cores: int = 2) -> Machine:
        made = Machine(others, cores)
        monkeypatch.setattr(time, "perf_counter", lambda: made.now)
        return made

    return make


def loaded(now: float, count: int) -> float:
    """Return what a step takes where others are busy from second 20 to 60: measured on nano."""
    if 20 <= now < 60:
        return 0.25 if count == 2 else 0.12
    return 0.1 if count == 1 else 0.06


def test_threads_follow_the_load(machine: Callable[..., Machine]) -> None:
    changes = machine(lambda now: float(20 <= now < 60)).train(loaded, 100)
    assert [count for _, count in changes] == [1, 2]
    assert 20 < changes[0][0] < 23
    assert 60 < changes[1][0] < 63


def test_alone_nothing_is_tried(machine: Callable[..., Machine]) -> None:
    assert not machine(lambda now: 0.05).train(lambda now, count: 0.1, 1000)


def test_what_does_not_help_is_tried_ever_less(machine: Callable[..., Machine]) -> None:
    changes = machine(lambda now: 0.5).train(lambda now, count: 0.1 / count, 1000)
    begun = [now for now, count in changes if count == 1]
    assert 8 < len(begun) < 20
    gaps = [after - before for before, after in itertools.pairwise(begun)]
    assert gaps[-1] > 80
    assert changes[-1][1] == 2


def test_several_cores_are_left_one_after_the_other(machine: Callable[..., Machine]) -> None:
    changes = machine(lambda now: 5.0, 8).train(lambda now, count: abs(count - 3) + 1, 300)
    kept = [count for (_, count), (_, after) in itertools.pairwise(changes) if after != 8]
    assert kept[:2] == [4, 2]


def test_a_system_that_does_not_say_leaves_all_threads(machine: Callable[..., Machine]) -> None:
    made = machine(lambda now: 2.0)
    made.look = lambda: None  # type: ignore[method-assign, assignment, return-value]
    assert not made.train(loaded, 100)


def test_a_busy_process_of_ours_is_no_other() -> None:
    watch = CoreWatch()
    sum(range(6_000_000))
    load = watch.look()
    if load is not None:
        assert load.others >= 0
        assert load.idle >= 0
