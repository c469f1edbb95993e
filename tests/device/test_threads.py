"""The threads a process gets."""

from __future__ import annotations

import torch

from groundup.device.threads import cpu_threads, usable_threads


def test_threads_are_set_and_set_back() -> None:
    before = torch.get_num_threads()
    with cpu_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    with cpu_threads(0):
        assert torch.get_num_threads() == before


def test_usable_threads_never_exceed_what_torch_was_given() -> None:
    assert 1 <= usable_threads() <= torch.get_num_threads()
