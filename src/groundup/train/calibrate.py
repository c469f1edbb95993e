"""What this machine can do, as `groundup plan --calibrate` measures and remembers it."""

from __future__ import annotations

from datetime import UTC, datetime

import torch

from groundup.device.products import choose_products, linear_products
from groundup.device.rates import matmul_rate, memory_bandwidth
from groundup.device.threads import cpu_threads, usable_threads
from groundup.plan import Calibration


def calibrate() -> Calibration:
    """Measure this machine's CPU for `groundup plan`: products by thread count, and bandwidth."""
    cpu, most = torch.device("cpu"), usable_threads()
    rates = {}
    for threads in sorted({1, most}):
        with cpu_threads(threads), linear_products(choose_products()[0]):
            rates[threads] = matmul_rate(cpu, torch.float32) / 1e9
    with cpu_threads(most):
        bandwidth = memory_bandwidth()
    measured_at = datetime.now(UTC).isoformat(timespec="seconds")
    return Calibration(
        device="cpu", matmul_gflops=rates, bandwidth=bandwidth, measured_at=measured_at
    )
