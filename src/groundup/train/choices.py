"""Every automatic choice of a run: taken once, with its reason, and written to run.toml."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from groundup.base.errors import UsageError
from groundup.config import TrainConfig

COMPILE_PAYS_AFTER = 500
"""Steps after which compiling (about a minute) has paid for itself on a GPU."""

COPIED = ("bf16", "cuda")
"""Where a narrow copy of the model computes the steps (see `narrow`) rather than autocast."""


@dataclass(frozen=True)
class Choices:
    """A `TrainConfig` without "auto" in it, and why each choice fell as it did."""

    config: TrainConfig
    reasons: dict[str, str]

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return torch.device(self.config.device)

    @property
    def matmul_dtype(self) -> torch.dtype:
        """The number format of matrix products."""
        return torch.bfloat16 if self.config.precision == "bf16" else torch.float32

    @property
    def copy_dtype(self) -> torch.dtype | None:
        """The number format of the copy of the model that computes training steps, if any."""
        return self.matmul_dtype if (self.config.precision, self.device.type) == COPIED else None

    def step_context(self) -> AbstractContextManager[Any]:
        """Return the context in which the forward passes of training run."""
        return contextlib.nullcontext() if self.copy_dtype else self.autocast()

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which all other forward passes run."""
        if self.config.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.matmul_dtype)


def choose(config: TrainConfig, emb_dim: int, rate_share: float = 1.0) -> Choices:
    """Replace every "auto" of `config` by what suits the device and a model `emb_dim` wide.

    `rate_share` is the part of a new model's learning rate that a model takes which is not new.
    """
    reasons: dict[str, str] = {}
    device = config.device
    if device == "auto":
        device, reasons["device"] = _best_device()
    _check_device(device)
    precision = config.precision
    if precision == "auto":
        fast = device == "cuda" and torch.cuda.is_bf16_supported()
        precision = "bf16" if fast else "fp32"
        reasons["precision"] = (
            "this GPU multiplies bf16 faster" if fast else "no narrower format is known faster here"
        )
    compile_ = config.compile
    if compile_ == "auto":
        pays = device == "cuda" and config.steps >= COMPILE_PAYS_AFTER
        compile_ = "on" if pays else "off"
        reasons["compile"] = (
            "a long run on a GPU repays the minute it takes"
            if pays
            else "gains too little here to repay the time it takes"
        )
    threads = config.threads
    if threads == 0:
        threads, reasons["threads"] = usable_threads(), "the CPUs this process may use"
    rate = config.peak_learning_rate(emb_dim)
    if config.learning_rate is None:
        rate *= rate_share
        learnt = "" if rate_share == 1 else f", times {rate_share:g} as it has learnt already"
        reasons["learning_rate"] = f"for a model {emb_dim} wide{learnt}"
    resolved = dataclasses.replace(
        config,
        device=device,
        precision=precision,
        compile=compile_,
        threads=threads,
        learning_rate=rate,
    )
    return Choices(resolved, reasons)


def _best_device() -> tuple[str, str]:
    if torch.cuda.is_available():
        return "cuda", "a CUDA GPU is present"
    if torch.backends.mps.is_available():
        return "mps", "an Apple GPU is present"
    return "cpu", "no GPU is present"


def _check_device(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device = 'cuda': this PyTorch sees no CUDA GPU; use --device cpu")
    if device == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device = 'mps': this PyTorch sees no Apple GPU; use --device cpu")


def usable_threads() -> int:
    """Return the CPUs this process may use, by its affinity and its container's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    usable = len(affinity(0)) if affinity else (os.cpu_count() or 1)
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        usable = min(usable, max(1, int(quota) // int(period)))
    return min(usable, torch.get_num_threads())


@contextlib.contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Run with `count` CPU threads (0 leaves them alone), then as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def machine(device: torch.device) -> dict[str, Any]:
    """Describe the machine for run.toml."""
    facts: dict[str, Any] = {
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count() or 1,
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }
    with contextlib.suppress(AttributeError, ValueError, OSError):
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        facts["memory_gib"] = round(memory / 2**30, 1)
    if device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(device)
    return facts


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
