"""The threads that write: taken from the time that tokens take, and left as they were found."""

from __future__ import annotations

import multiprocessing
import time

import pytest
import torch

from groundup.config import GPTConfig
from groundup.device.threads import usable_threads
from groundup.generate import SamplingConfig, generate_tokens, thread_tuner
from groundup.generate.thread_tuner import AGAIN, FIRST, ThreadTuner
from groundup.model import GPT


class Machine:
    """A clock that a token moves by what it costs with the threads of the moment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.threads, self.cost = 0.0, 2, {1: 1.7, 2: 1.0}
        monkeypatch.setattr(thread_tuner, "usable_threads", lambda: 2)
        monkeypatch.setattr("groundup.generate.thread_tuner.time.perf_counter", lambda: self.now)
        self.used: list[int] = []

    def write(self, paced: ThreadTuner, n_tokens: int) -> list[int]:
        before = len(self.used)
        for _ in range(n_tokens):
            with paced.token():
                self.used.append(torch.get_num_threads())
                self.now += self.cost[self.used[-1]]
        return self.used[before:]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_one_token_in_many_tries_the_other_number(machine: Machine) -> None:
    before = torch.get_num_threads()
    used = machine.write(ThreadTuner(), AGAIN)
    assert used.count(1) == 1
    assert used[FIRST] == 1
    assert torch.get_num_threads() == before


def test_a_core_that_is_busy_from_the_start_is_noticed(machine: Machine) -> None:
    machine.cost = {1: 1.7, 2: 20.0}
    assert machine.write(ThreadTuner(), 50)[FIRST:] == [1] * (50 - FIRST)


def test_a_core_that_becomes_busy_is_noticed_at_once_and_free_again_in_time(
    machine: Machine,
) -> None:
    paced = ThreadTuner()
    machine.write(paced, 50)
    machine.cost[2] = 20.0
    assert machine.write(paced, 20) == [2] + [1] * 19
    machine.cost[2] = 1.0
    assert machine.write(paced, AGAIN)[-1] == 2


def test_one_usable_thread_is_left_alone(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_tuner, "usable_threads", lambda: 1)
    before = torch.get_num_threads()
    assert set(machine.write(ThreadTuner(), 20)) == {before}


def _spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pytest.mark.slow
def test_beside_a_busy_process_it_is_not_slower_than_one_thread() -> None:
    """Two states, measured: both cores ours, and a process that keeps one of them busy."""
    if usable_threads() < 2:
        pytest.skip("one CPU")
    config = GPTConfig(vocab_size=4096, emb_dim=384, n_heads=6, n_layers=6, context_length=256)
    model = GPT(config).eval()

    def rate() -> float:
        begun, sampling = time.perf_counter(), SamplingConfig(max_tokens=200, temperature=0.0)
        assert len(list(generate_tokens(model, [[1]], sampling))) == 200
        return 200 / (time.perf_counter() - begun)

    rate()
    free = rate()
    hogs = [multiprocessing.Process(target=_spin, args=(120,)) for _ in range(1)]
    for hog in hogs:
        hog.start()
    try:
        paced = sorted(rate() for _ in range(3))[1]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        single = sorted(rate() for _ in range(3))[1]
        torch.set_num_threads(threads)
    finally:
        for hog in hogs:
            hog.terminate()
            hog.join()
    print(f"\nfree {free:.0f} tokens/s; beside a busy process {paced:.0f}, one thread {single:.0f}")
    assert paced > 0.8 * single
