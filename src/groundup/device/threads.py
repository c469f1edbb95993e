"""How many CPU threads to use, by what the process may have and by what they are worth now."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator

import torch

from groundup.base.hardware import usable_cores

SLICES = 7
"""Turns that each number of threads gets in a probe."""
SLICE_SECONDS = 0.01
CLEARLY = 1.15
"""Fewer threads are taken only where they are so many times as fast."""


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


def choose_threads(rows: int, width: int) -> tuple[int, str]:
    """Return the threads that suit products of (rows, width) by (width, width) now, and why.

    All usable ones, unless fewer are clearly faster: where another process keeps a core busy, every
    product of many threads waits for the one that has lost its core.
    """
    most = usable_threads()
    if most == 1:
        return 1, "the CPUs this process may use"
    seconds = probe_threads(rows, width, [*_halves(most)])
    best = min(seconds, key=lambda count: seconds[count])
    gain = seconds[most] / seconds[best]
    if gain < CLEARLY:
        return most, "the CPUs this process may use"
    return best, f"{gain:.1f} times as fast as {most} on products of this size just now"


def probe_threads(rows: int, width: int, counts: list[int]) -> dict[int, float]:
    """Return the median seconds of a (rows, width) by (width, width) product by thread count.

    The counts take turns of some milliseconds, so that all see the same machine. A turn counts with
    its mean: what a busy core does to a product shows in the slow ones.
    """
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(rows, width, generator=generator)
    right = torch.randn(width, width, generator=generator)
    out = torch.empty(rows, width)
    turns: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(SLICES):
        for count in counts:
            with cpu_threads(count):
                torch.mm(left, right, out=out)  # wakes the threads
                turns[count].append(_mean_seconds(left, right, out))
    return {count: statistics.median(means) for count, means in turns.items()}


def _mean_seconds(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> float:
    begun, n = time.perf_counter(), 0
    while (spent := time.perf_counter() - begun) < SLICE_SECONDS or n < 1:
        torch.mm(left, right, out=out)
        n += 1
    return spent / n


def _halves(most: int) -> Iterator[int]:
    """Yield `most`, half of it, and so on down to 1."""
    while most:
        yield most
        most //= 2
