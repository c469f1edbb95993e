"""What this machine can do, measured: matrix products and memory traffic."""

from __future__ import annotations

import time

import torch

from groundup.device.products import chosen_products

SIZE = {"cpu": 1024, "mps": 2048, "cuda": 8192}


def matmul_rate(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """Return the rate (FLOP/s) of square matrix products, the best of those that fit `seconds`."""
    size = SIZE.get(device.type, 1024)
    generator = torch.Generator(device).manual_seed(0)
    left = torch.randn(size, size, device=device, generator=generator).to(dtype)
    right = left.T.contiguous()
    with chosen_products():
        out = left @ right
        best, end = float("inf"), time.perf_counter() + seconds
        while time.perf_counter() < end or best == float("inf"):
            synchronize(device)
            start = time.perf_counter()
            torch.mm(left, right, out=out)
            synchronize(device)
            best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def memory_bandwidth(seconds: float = 0.3) -> float:
    """Return bytes a second read and written by copies far larger than any cache."""
    source = torch.zeros(32 << 20)
    target = torch.empty_like(source)
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        start = time.perf_counter()
        target.copy_(source)
        best = min(best, time.perf_counter() - start)
    return 2 * source.nbytes / best


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given (a CPU always has)."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
