"""Experiments in several threads of one process do not meddle with one another."""

from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import torch

from groundup.lab.running.failures import unprinted
from groundup.lab.running.workers import Ask, InThisProcess


class _Work:
    """Counts how many cells are measured at once."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def measure(self, **asked: Any) -> tuple[dict[str, float], float]:
        self.now += 1
        self.most = max(self.most, self.now)
        time.sleep(0.002)
        self.now -= 1
        return {"threads": torch.get_num_threads()}, 0.0


def test_cells_are_measured_one_at_a_time() -> None:
    work: Any = _Work()
    task: Any = SimpleNamespace(index=0, key="")
    answers: list[Any] = []
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:

        def measure() -> None:
            answers.extend(InThisProcess().measure(work, [Ask(task)] * 10))

        threads = [threading.Thread(target=measure) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert work.most == 1
        assert [answer.values for answer in answers] == [{"threads": 1}] * 30
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_the_output_is_what_it_was() -> None:
    output, entered, leave = sys.stdout, threading.Event(), threading.Event()

    def conclude() -> None:
        with unprinted():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=conclude)
    with unprinted():
        thread.start()
        assert not entered.wait(0.1)
    assert entered.wait(10)
    leave.set()
    thread.join()
    assert sys.stdout is output
