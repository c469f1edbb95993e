"""What the screen says about a training that has slowed down."""

from __future__ import annotations

import io

from rich.console import Console

from groundup.train import ConsoleScreen


def told(speeds: list[float], threads: int = 2) -> str:
    output = io.StringIO()
    screen = ConsoleScreen(Console(file=output, width=200))
    screen.threads = threads
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
