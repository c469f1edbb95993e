"""What this machine can do, measured: the yardstick for speeds and times."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

import torch

from groundup.plan import Calibration
from groundup.train.choices import cpu_threads, usable_threads

SIZE = {"cpu": 1024, "mps": 2048, "cuda": 8192}


def matmul_rate(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """Return the rate (FLOP/s) of square matrix products, the best of those that fit `seconds`."""
    size = SIZE.get(device.type, 1024)
    generator = torch.Generator(device).manual_seed(0)
    left = torch.randn(size, size, device=device, generator=generator).to(dtype)
    right = left.T.contiguous()
    out = left @ right
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        synchronize(device)
        start = time.perf_counter()
        torch.mm(left, right, out=out)
        synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def calibrate() -> Calibration:
    """Measure this machine's CPU for `groundup plan`: products by thread count, and bandwidth."""
    cpu, most = torch.device("cpu"), usable_threads()
    rates = {}
    for threads in sorted({1, most}):
        with cpu_threads(threads):
            rates[threads] = matmul_rate(cpu, torch.float32) / 1e9
    with cpu_threads(most):
        bandwidth = memory_bandwidth()
    measured_at = datetime.now(UTC).isoformat(timespec="seconds")
    return Calibration(
        device="cpu", matmul_gflops=rates, bandwidth=bandwidth, measured_at=measured_at
    )


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


def peak_memory_mib(device: torch.device) -> float:
    """Return the most memory held so far: by this process, or on the GPU where there is one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
