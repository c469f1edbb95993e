"""What this machine can do at most, measured: matrix products and memory traffic."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial

import torch

from groundup.device.machine import machine

GEMM_SIZES = (1024, 2048)
COPIED_BYTES = 256 << 20


def best_seconds(work: Callable[[], object], seconds: float) -> float:
    """Return the shortest time `work` took while `seconds` went by."""
    work()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return best


def gemm_flops(seconds: float, dtype: torch.dtype = torch.float32) -> float:
    """Return the best rate (FLOP/s) of square products."""
    rates = []
    for size in GEMM_SIZES:
        left, right, out = (torch.randn(size, size).to(dtype) for _ in range(3))
        shortest = best_seconds(partial(torch.mm, left, right, out=out), seconds)
        rates.append(2 * size**3 / shortest)
    return max(rates)


def bandwidth(seconds: float) -> float:
    """Return the best rate (bytes/s, read and written) of copying more than caches hold."""
    source = torch.randn(COPIED_BYTES // 4)
    target = torch.empty_like(source)
    return 2 * COPIED_BYTES / best_seconds(lambda: target.copy_(source), seconds)


def main() -> None:
    job = json.loads(sys.argv[1])
    facts = machine(torch.device("cpu"))
    del facts["platform"]
    record = {
        "machine": facts | {"torch": torch.__version__, "python": sys.version.split()[0]},
        "load_average": os.getloadavg()[0],
        "gemm_flops": gemm_flops(job["seconds"]),
        "bf16_flops": gemm_flops(job["seconds"] / 4, torch.bfloat16),
        "bandwidth": bandwidth(job["seconds"]),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
