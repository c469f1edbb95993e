"""What this machine can do at most, measured: matrix products and memory traffic."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F

from groundup.device.machine import machine
from groundup.device.products import DEFAULT, choose_products, linear_products

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
    """Return the best rate (FLOP/s) of square products, by whichever library is the fastest."""
    rates = []
    for size, library in product(GEMM_SIZES, {DEFAULT, choose_products()[0]}):
        left, right = (torch.randn(size, size).to(dtype) for _ in range(2))
        with torch.no_grad(), linear_products(library):
            shortest = best_seconds(partial(F.linear, left, right), seconds / 2)
        rates.append(2 * size**3 / shortest)
    return max(rates)


def reading(seconds: float) -> float:
    """Return the best rate (bytes/s) at which more than caches hold is read."""
    matrix, vector = torch.randn(8192, 8192), torch.randn(8192)
    works: tuple[Callable[[], object], ...] = (partial(torch.mv, matrix, vector), matrix.sum)
    shortest = min(best_seconds(work, seconds / 2) for work in works)
    return 4 * matrix.numel() / shortest


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
