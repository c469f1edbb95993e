"""Facts about this machine, and what this process has taken of it."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from groundup.base.hardware import cpu_model_line, total_memory


def machine(device: torch.device) -> dict[str, Any]:
    """Describe the machine for run.toml."""
    facts: dict[str, Any] = {
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count() or 1,
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }
    if memory := total_memory():
        facts["memory_gib"] = round(memory / 2**30, 1)
    if device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(device)
    return facts


def peak_memory_mib(device: torch.device) -> float:
    """Return the most memory held so far: by this process, or on the GPU where there is one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    with contextlib.suppress(OSError, StopIteration):  # Linux: getrusage also tells of the parent
        lines = Path("/proc/self/status").read_bytes().splitlines()
        return int(next(line for line in lines if line.startswith(b"VmHWM")).split()[1]) / 2**10
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _cpu_name() -> str:
    line = cpu_model_line()
    return line.partition(":")[2].strip() or line
