"""A time budget: steps that fill it however fast they are, and the same ones for all processes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest

from groundup import TrainConfig
from groundup.optim.schedule import learning_rate
from groundup.train.clock import FINAL_SHARE, TIMED_STEPS, Clock
from groundup.train.decisions import Decision
from groundup.train.progress import Progress

CONFIG = TrainConfig(minutes=1.0, learning_rate=1e-3)
EVALUATED = 16384


class Training:
    """A training on a clock of its own, of which a step takes `seconds(time)`."""

    def __init__(
        self,
        seconds: Callable[[float], float],
        *,
        config: TrainConfig = CONFIG,
        agree: Callable[[int], int] = int,
        tokens: Callable[[int], int] = lambda step: 100,
        pause: float = 0.1,
        split: int = 4 * EVALUATED,
        is_known: bool = True,
        taken: tuple[Decision, ...] = (),
    ) -> None:
        self.now, self.seconds, self.tokens, self.split = 3.0, seconds, tokens, split
        self.clock = Clock(config, 100, 0.0, bool(taken), agree, taken, split if is_known else None)
        self.pause, self.progress = pause, Progress()
        self.rates: list[float] = []
        self.final = self.n_validations = 0

    def validate(self, most: int | None) -> int:
        """Read the validation split, or a part of it, at so many tokens a second."""
        tokens = min(most or self.split, self.split)
        spent = self.pause * tokens / EVALUATED
        self.now += spent
        self.clock.add_validation(spent, tokens)
        self.n_validations += 1
        return tokens

    def run(self, until: int | None = None) -> Clock:
        """Take all steps, or some; return the clock."""
        clock, progress = self.clock, self.progress
        self.validate(EVALUATED)
        clock.go_to(0)
        while progress.step < min(clock.config.steps, until or 10**9):
            self.rates.append(learning_rate(*clock.decisions.schedule_at(progress.step)))
            progress.step += 1
            spent = self.seconds(self.now) * self.tokens(progress.step) / 100
            self.now += spent
            progress.seconds += spent
            clock.add(spent, self.tokens(progress.step))
            clock.estimate(progress)
            clock.go_to(progress.step)
            clock.decide_anew(progress.step)
            if "validate" in clock.due(progress.step):
                self.validate(clock.config.eval_tokens)
        if progress.step == clock.config.steps:
            self.final = self.validate(clock.decisions.at(progress.step).final_tokens)
        return clock


@pytest.fixture(autouse=True)
def _own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock tell the time of the training that is under way."""
    current: list[Training] = []
    run = Training.run

    def timed_run(self: Training, until: int | None = None) -> Clock:
        current.append(self)
        return run(self, until)

    monkeypatch.setattr(Training, "run", timed_run)
    for clock in ("perf_counter", "process_time"):
        monkeypatch.setattr(time, clock, lambda: current[-1].now if current else 0.0)


def between(begin: float, end: float, slow: float) -> Callable[[float], float]:
    """Return what a step takes where others use the machine from `begin` to `end`."""
    return lambda now: 0.05 * (slow if begin <= now < end else 1.0)


@pytest.mark.parametrize(
    ("begin", "end", "slow"),
    [(0, 0, 1), (0, 99, 8), (20, 99, 1.5), (20, 99, 8), (0, 20, 8), (30, 40, 4), (55, 99, 6)],
)
def test_a_minute_is_a_minute_and_the_rate_comes_to_its_end(
    begin: float, end: float, slow: float
) -> None:
    training = Training(between(begin, end, slow))
    training.run()
    assert 57 < training.now < 60.8
    assert training.rates[-1] < 1e-5
    # The rate never leaps: beside the first decision, which the warm-up ends with.
    leaps = [abs(a - b) for a, b in itertools.pairwise(training.rates[TIMED_STEPS + 100 :])]
    assert max(leaps, default=0) < 2e-4
    assert len(training.clock.decisions.taken) < 30


def test_a_quiet_machine_is_hardly_decided_about() -> None:
    jitter = itertools.cycle([0.05, 0.055, 0.045, 0.05, 0.06, 0.04])
    assert len(Training(lambda now: next(jitter)).run().decisions.taken) <= 3


def test_recorded_decisions_are_taken_again_whatever_the_time() -> None:
    first = Training(between(20, 40, 5))
    taken = tuple(first.run().decisions.taken)
    assert len(taken) > 2
    again = Training(lambda now: 0.001, taken=taken)
    again.run(until=taken[-1].step)
    assert again.rates == first.rates[: taken[-1].step]
    assert again.clock.decisions.taken == list(taken)
    again.run()  # and then it decides anew
    assert len(again.clock.decisions.taken) > len(taken)


def test_the_time_of_an_earlier_process_counts() -> None:
    first = Training(between(20, 40, 5))
    taken = tuple(first.run(until=400).decisions.taken)
    second = Training(lambda now: 0.05, taken=taken)
    second.clock.spent, second.progress.step = 40.0, 400
    second.run()
    assert 18 < second.now < 20.8


def test_a_large_split_is_validated_in_part() -> None:
    training = Training(lambda now: 0.05, split=100 * EVALUATED)
    training.run()
    assert training.final == pytest.approx(FINAL_SHARE * 60 / 0.1 * EVALUATED, rel=0.02)
    assert 57 < training.now < 60.8
    unknown = Training(lambda now: 0.05, split=6 * EVALUATED, is_known=False)
    unknown.run()
    assert unknown.final == 6 * EVALUATED  # as much as it is
    small = Training(lambda now: 0.05, split=5000)
    small.run()
    assert small.final == 5000


def test_dear_validations_are_few_and_leave_most_of_the_time_to_learning() -> None:
    counts = [Training(lambda now: 0.05, pause=pause) for pause in (0.1, 2.0, 10.0)]
    for training in counts:
        training.run()
    cheap, dear, dearest = (training.n_validations for training in counts)
    assert cheap > 20
    assert cheap > dear > dearest
    assert dearest <= 6


def test_steps_of_other_lengths_than_most_do_not_mislead() -> None:
    usual = Training(lambda now: 1.0).run()
    mixed = Training(lambda now: 1.0, tokens=lambda step: 1000 if step < 3 else 100)
    assert mixed.run().decisions.taken[1].steps == pytest.approx(
        usual.decisions.taken[1].steps, abs=18
    )


def test_steps_without_a_token_are_timed_too() -> None:
    training = Training(lambda now: 0.1, tokens=lambda step: 0 if step == 2 else 100)
    assert training.run().config.steps > 450


def test_the_process_with_the_fewest_steps_decides() -> None:
    fewest = Training(lambda now: 0.1, agree=lambda wish: max(wish, -50) if wish < 0 else wish)
    assert fewest.run(until=TIMED_STEPS).config.steps == 50


def test_steps_that_are_slow_for_one_process_are_timed_early_by_all() -> None:
    asked: list[int] = []

    def agree(wish: int) -> int:
        asked.append(wish)
        return 1 if len(asked) == 2 else wish

    assert Training(lambda now: 0.1, agree=agree).run(until=10).decisions.taken[1].step == 2


def test_a_run_of_so_many_steps_is_never_decided_anew() -> None:
    training = Training(between(1, 30, 9), config=TrainConfig(steps=300, learning_rate=1e-3))
    assert not training.run().decisions.taken
    assert training.rates == [learning_rate(step, training.clock.config) for step in range(300)]
