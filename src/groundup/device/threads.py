"""How many CPU threads PyTorch uses, and may use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from groundup.base.hardware import usable_cores


def usable_threads() -> int:
    """Return the threads that PyTorch may have: the usable CPUs, or fewer where it was told so."""
    return min(usable_cores(), torch.get_num_threads())


@contextlib.contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Run with `count` CPU threads (0 leaves them alone), then as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
