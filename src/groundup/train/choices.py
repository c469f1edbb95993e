"""Every automatic choice of a run: taken once, with its reason, and written to run.toml."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from groundup.base.errors import UsageError
from groundup.config import TrainConfig
from groundup.device.allocator import can_keep_freed_memory
from groundup.device.threads import usable_threads

COMPILE_PAYS_AFTER = 500
"""Steps after which compiling (about a minute) has paid for itself on a GPU."""

COPIED = ("bf16", "cuda")
"""Where a narrow copy of the model computes the steps (see `narrow`) rather than autocast."""

ATTENTION = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]
"""Attention kernels on CUDA, the fastest first."""


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
        numbers = contextlib.nullcontext() if self.copy_dtype else self.autocast()
        return _fastest_attention(numbers) if self.device.type == "cuda" else numbers

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which all other forward passes run."""
        if self.config.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.matmul_dtype)


@contextlib.contextmanager
def _fastest_attention(within: AbstractContextManager[Any]) -> Iterator[None]:
    """Take the fastest of PyTorch's attention kernels that can do what is asked."""
    with within, sdpa_kernel(ATTENTION, set_priority=True):
        yield


def choose(
    config: TrainConfig, emb_dim: int, rate_share: float = 1.0, own_process: bool = False
) -> Choices:
    """Replace every "auto" of `config` by what suits the device and a model `emb_dim` wide.

    `rate_share` is the part of a new model's learning rate that a model takes which is not new.
    What lasts until the process ends is chosen only for one that is our `own_process`.
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
    if device == "cuda":
        reasons["attention"] = "cuDNN's kernels where they can, the fastest known on such a GPU"
    threads = config.threads
    if threads == 0:
        threads, reasons["threads"] = usable_threads(), "the CPUs this process may use"
    allocator = config.allocator
    if allocator == "auto":
        allocator, reasons["allocator"] = _best_allocator(device, own_process)
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
        allocator=allocator,
        learning_rate=rate,
    )
    return Choices(resolved, reasons)


def _best_device() -> tuple[str, str]:
    if torch.cuda.is_available():
        return "cuda", "a CUDA GPU is present"
    if torch.backends.mps.is_available():
        return "mps", "an Apple GPU is present"
    return "cpu", "no GPU is present"


def _best_allocator(device: str, own_process: bool) -> tuple[str, str]:
    if device == "cpu" and own_process and can_keep_freed_memory():
        return "keep", "every step asks again for the memory that the one before it freed"
    return "system", "nothing is gained, or the process is not ours alone"


def _check_device(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device = 'cuda': this PyTorch sees no CUDA GPU; use --device cpu")
    if device == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device = 'mps': this PyTorch sees no Apple GPU; use --device cpu")
