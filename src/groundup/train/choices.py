"""Every automatic choice of a run: taken once, with its reason, and written to run.toml."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from groundup.base.errors import UsageError
from groundup.config import GPTConfig, TrainConfig
from groundup.config.adaptation import LARGER
from groundup.device.allocator import keep_freed_memory, release_freed_memory
from groundup.device.products import ONEDNN, linear_products, onednn_is_exact
from groundup.device.threads import cpu_threads
from groundup.train.automatic import Needs, deciders

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
    own_process: bool = False
    """Whether the process is ours alone, so that it may be set up until it ends."""
    ranks: int = 1
    """How many processes train together."""

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return torch.device(self.config.device)

    @property
    def may_change_threads(self) -> bool:
        """Whether steps may be computed by fewer threads at times than the run began with."""
        c = self.config
        is_open = "threads" in self.reasons and c.threads > 1 and self.ranks == 1
        return is_open and c.device == "cpu" and (c.exact, c.compile) == ("off", "off")

    @property
    def matmul_dtype(self) -> torch.dtype:
        """The number format of matrix products."""
        return torch.bfloat16 if self.config.precision == "bf16" else torch.float32

    @property
    def copy_dtype(self) -> torch.dtype | None:
        """The number format of the copy of the model that computes training steps, if any."""
        if self.ranks > 1:  # DDP and FSDP look after the model's own gradients only
            return None
        return self.matmul_dtype if (self.config.precision, self.device.type) == COPIED else None

    def step_context(self, copied: bool) -> AbstractContextManager[Any]:
        """Return the context in which the passes of training run; a narrow copy is not autocast."""
        numbers = contextlib.nullcontext() if copied else self.autocast()
        return _fastest_attention(numbers) if self.device.type == "cuda" else numbers

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which all other forward passes run."""
        if self.config.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.matmul_dtype)

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        """Run with the chosen threads and products, and an own process's chosen allocator."""
        if self.own_process and self.config.allocator == "keep":
            keep_freed_memory()
        if self.own_process and self.config.allocator == "release":
            release_freed_memory()
        products = linear_products(self.config.products)
        with cpu_threads(self.config.threads), products, self._deterministic():
            yield

    @contextlib.contextmanager
    def _deterministic(self) -> Iterator[None]:
        if self.config.deterministic == "off":
            yield
            return
        # cuBLAS reads it before its first product (NVIDIA, "Results reproducibility").
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)


@contextlib.contextmanager
def _fastest_attention(within: AbstractContextManager[Any]) -> Iterator[None]:
    """Take the fastest of PyTorch's attention kernels that can do what is asked."""
    with within, sdpa_kernel(ATTENTION, set_priority=True):
        yield


def choose(
    config: TrainConfig,
    model: GPTConfig,
    rate_share: float = 1.0,
    own_process: bool = False,
    ranks: int = 1,
    needs: Needs | None = None,
) -> Choices:
    """Replace every "auto" of `config` by what suits the device and a model like `model`.

    Some are measured, which takes up to a second. `rate_share` is the part of a new model's
    learning rate that a model takes which is not new. What lasts until the process ends is chosen
    only for one that is our `own_process`. `ranks` processes train together. `needs` tells the
    bytes that settings take, of a training that is no pretraining.
    """
    reasons: dict[str, str] = {}
    own_process = own_process or config.allocator in ("keep", "release")
    for name, decide in deciders(own_process, ranks, needs).items():
        if getattr(config, name) in ("auto", 0):
            value, reasons[name] = decide(config, model)
            config = dataclasses.replace(config, **{name: value})
        if name == "device":
            _check_device(config.device)
    if config.products == ONEDNN and not onednn_is_exact():
        raise UsageError(
            "products = 'onednn': oneDNN rounds factors to bf16 on this CPU; use 'default'"
        )
    if config.learning_rate is None:
        rate, reasons["learning_rate"] = _learning_rate(config, model, rate_share)
        config = dataclasses.replace(config, learning_rate=rate)
    if config.muon_learning_rate is None and config.optimizer == "muon":
        rate = config.peak_muon_learning_rate * rate_share
        config = dataclasses.replace(config, muon_learning_rate=rate)
    return Choices(config, reasons, own_process, ranks)


def _learning_rate(config: TrainConfig, model: GPTConfig, share: float) -> tuple[float, str]:
    """Return AdamW's peak rate, and why; that of adapters is larger."""
    reason = f"for a model {model.emb_dim} wide"
    reason += "" if share == 1 else f", times {share:g} as it has learnt already"
    if not config.adapts:
        return config.peak_learning_rate(model.emb_dim) * share, reason
    # Adapters are matrices that AdamW moves, whatever the optimizer of the rest is.
    matrices = dataclasses.replace(config, optimizer="adamw").peak_learning_rate(model.emb_dim)
    return matrices * share * LARGER, f"{reason}, times {LARGER:g} as only adapters learn"


def _check_device(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device = 'cuda': this PyTorch sees no CUDA GPU; use 'cpu'")
    if device == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device = 'mps': this PyTorch sees no Apple GPU; use 'cpu'")
