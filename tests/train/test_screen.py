"""What the screen says about a training that is slow, or takes longer than was asked for."""

from __future__ import annotations

import io
import time
from dataclasses import replace

import pytest
from rich.console import Console

from groundup import TrainConfig
from groundup.train import ConsoleScreen
from groundup.train.decisions import as_asked


def told(speeds: list[float], threads: int = 2) -> str:
    output = io.StringIO()
    screen = ConsoleScreen(Console(file=output, width=200))
    screen.hints_threads = threads > 1
    for step, speed in enumerate(speeds):
        screen.metrics({"step": step, "train_loss": 1.0, "tokens_per_second": speed})
    return output.getvalue()


def test_a_training_that_became_several_times_slower_says_so_once() -> None:
    text = told([1000.0] * 30 + [200.0] * 60)
    assert text.count("5.0 times slower") == 1
    assert "threads=1" in text
    alone = told([1000.0] * 30 + [200.0] * 60, threads=1)
    assert "5.0 times slower" in alone
    assert "threads=1" not in alone, "there are no fewer"


def test_short_or_slight_slowdowns_are_not_worth_a_word() -> None:
    assert told([1000.0] * 30 + [100.0] * 5 + [900.0] * 30) == ""
    assert told([1000.0] * 30 + [500.0] * 60) == ""


def test_a_run_that_becomes_clearly_shorter_says_so() -> None:
    screen = ConsoleScreen(Console(file=(output := io.StringIO()), width=200))
    config = TrainConfig(minutes=1.0, steps=1000)
    taken = [as_asked(config)]
    screen.decided_anew(config, taken, 0.05)
    assert "Expected    50 s of training (1,000 steps of 50 ms" in output.getvalue()
    screen.decided_anew(replace(config, steps=850), taken, None)
    assert "not 1,000" not in output.getvalue()
    screen.decided_anew(replace(config, steps=300), taken, None)
    assert (
        "the time is enough for 300 steps, not 1,000; the learning rate follows"
        in output.getvalue()
    )


def test_a_preparation_that_takes_all_the_time_is_foreseen(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    screen = ConsoleScreen(Console(file=(output := io.StringIO()), width=200))
    screen.allowed(60)
    for done in range(20):
        now[0] += 1
        screen.preparing("Encoding", 10 * done, 4000)
    assert output.getvalue().count("encoding takes") == 1
    assert (
        "longer than was asked for; the time of the training begins when it is" in output.getvalue()
    )
    screen = ConsoleScreen(Console(file=(output := io.StringIO()), width=200))
    screen.allowed(600)
    screen.preparing("Encoding", 0, 4000)
    now[0] += 5
    screen.preparing("Encoding", 100, 4000)
    assert not output.getvalue()
