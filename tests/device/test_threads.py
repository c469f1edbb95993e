"""The threads a process gets, and the probe that finds out what they are worth."""

from __future__ import annotations

import pytest
import torch

from groundup.device import threads
from groundup.device.threads import choose_threads, cpu_threads, probe_threads, usable_threads


def test_threads_are_set_and_set_back() -> None:
    before = torch.get_num_threads()
    with cpu_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    with cpu_threads(0):
        assert torch.get_num_threads() == before


def test_a_probe_times_every_count_and_sets_the_threads_back() -> None:
    before = torch.get_num_threads()
    seconds = probe_threads(64, 32, [2, 1])
    assert seconds.keys() == {1, 2}
    assert all(0 < value < 1 for value in seconds.values())
    assert torch.get_num_threads() == before


def test_a_probe_tells_a_large_product_from_a_small_one() -> None:
    small, large = (probe_threads(rows, 256, [1])[1] for rows in (16, 2048))
    assert large > 10 * small


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [({4: 1.0, 2: 1.1, 1: 2.0}, 4), ({4: 1.0, 2: 0.95, 1: 2.0}, 4), ({4: 9.0, 2: 3.0, 1: 1.0}, 1)],
)
def test_fewer_threads_only_where_they_are_clearly_faster(
    seconds: dict[int, float], chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "usable_threads", lambda: 4)
    monkeypatch.setattr(threads, "probe_threads", lambda rows, width, counts: seconds)
    count, reason = choose_threads(8, 8)
    assert count == chosen
    assert ("9.0 times" in reason) == (chosen == 1)


def test_usable_threads_never_exceed_what_torch_was_given() -> None:
    assert 1 <= usable_threads() <= torch.get_num_threads()
