"""Every automatic choice of a run: taken once, with its reason, and written to run.toml."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from groundup.base.errors import UsageError
from groundup.base.hardware import available_memory, usable_cores
from groundup.config import GPTConfig, TrainConfig, foreign_parts
from groundup.device.allocator import (
    can_keep_freed_memory,
    keep_freed_memory,
    release_freed_memory,
)
from groundup.device.threads import choose_threads, cpu_threads
from groundup.plan.count import count_parameters
from groundup.plan.memory import CUDA_LOSS_CHUNK, LOSS_CHUNK, optimizer_memory, training_memory
from groundup.plan.units import MIB
from groundup.processes.launch import processes_here
from groundup.train.probe import cpu_precision

COMPILE_PAYS_AFTER = 500
"""Steps after which compiling (about a minute) has paid for itself on a GPU."""

COPIED = ("bf16", "cuda")
"""Where a narrow copy of the model computes the steps (see `narrow`) rather than autocast."""

MOST_SHARDS = 8
"""Parts of an exact step, where their number was not set: so many processes can share it."""

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
    def matmul_dtype(self) -> torch.dtype:
        """The number format of matrix products."""
        return torch.bfloat16 if self.config.precision == "bf16" else torch.float32

    @property
    def copy_dtype(self) -> torch.dtype | None:
        """The number format of the copy of the model that computes training steps, if any."""
        if self.ranks > 1:  # what wraps a training step knows nothing of another model's gradients
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
        """Run with the chosen threads and, in a process of our own, the chosen allocator."""
        if self.own_process and self.config.allocator == "keep":
            keep_freed_memory()
        if self.own_process and self.config.allocator == "release":
            release_freed_memory()
        with cpu_threads(self.config.threads), self._deterministic():
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
) -> Choices:
    """Replace every "auto" of `config` by what suits the device and a model like `model`.

    Some are measured, which takes up to a second. `rate_share` is the part of a new model's
    learning rate that a model takes which is not new. What lasts until the process ends is chosen
    only for one that is our `own_process`. `ranks` processes train together.
    """
    reasons: dict[str, str] = {}
    own_process = own_process or config.allocator in ("keep", "release")
    deciders = AUTOMATIC | {
        "allocator": partial(_allocator, own_process),
        "shard": partial(_shard, ranks),
    }
    for name, decide in deciders.items():
        if getattr(config, name) in ("auto", 0):
            value, reasons[name] = decide(config, model)
            config = dataclasses.replace(config, **{name: value})
        if name == "device":
            _check_device(config.device)
    if config.learning_rate is None:
        rate = config.peak_learning_rate(model.emb_dim) * rate_share
        learnt = "" if rate_share == 1 else f", times {rate_share:g} as it has learnt already"
        reasons["learning_rate"] = f"for a model {model.emb_dim} wide{learnt}"
        config = dataclasses.replace(config, learning_rate=rate)
    if config.muon_learning_rate is None and config.optimizer == "muon":
        rate = config.peak_muon_learning_rate * rate_share
        config = dataclasses.replace(config, muon_learning_rate=rate)
    return Choices(config, reasons, own_process, ranks)


Decision = tuple[Any, str]
"""A value and the reason for it."""


def _device(config: TrainConfig, model: GPTConfig) -> Decision:
    if torch.cuda.is_available():
        return "cuda", "a CUDA GPU is present"
    if torch.backends.mps.is_available():
        return "mps", "an Apple GPU is present"
    return "cpu", "no GPU is present"


def _threads(config: TrainConfig, model: GPTConfig) -> Decision:
    if config.exact == "on":
        return 1, "sums of several threads depend on how many they are"
    if (neighbours := processes_here()) > 1:
        own = max(1, usable_cores() // neighbours)
        return own, f"{neighbours} processes share this machine"
    return choose_threads(min(config.batch_size * model.context_length, 1024), model.emb_dim)


def _exact_shards(config: TrainConfig, model: GPTConfig) -> Decision:
    total = config.sequences_per_step
    return min(MOST_SHARDS, total & -total), f"of {total} sequences a step"


def _precision(config: TrainConfig, model: GPTConfig) -> Decision:
    if config.exact == "on":
        return "fp32", "exact sums are offered in fp32"
    if foreign_parts(model):
        return "fp32", "nobody knows what a part of your own computes in fewer bits"
    if config.device == "cpu":
        with cpu_threads(config.threads):
            return cpu_precision(model, config.batch_size)
    if config.device == "cuda" and torch.cuda.is_bf16_supported():
        return "bf16", "this GPU multiplies bf16 faster"
    return "fp32", "no narrower format is known faster here"


def _compile(config: TrainConfig, model: GPTConfig) -> Decision:
    if config.device == "cuda" and config.steps >= COMPILE_PAYS_AFTER:
        return "on", "a long run on a GPU repays the minute it takes"
    return "off", "gains too little here to repay the time it takes"


def _allocator(own_process: bool, config: TrainConfig, model: GPTConfig) -> Decision:
    if config.device == "cpu" and own_process and can_keep_freed_memory():
        if config.checkpoint_activations == "on":
            return "release", "memory is short, and a heap of unequal blocks takes twice as much"
        return "keep", "every step asks again for the memory that the one before it freed"
    return "system", "nothing is gained, or the process is not ours alone"


def _shard(ranks: int, config: TrainConfig, model: GPTConfig) -> Decision:
    if ranks == 1 or config.exact == "on":
        return "off", "every process has the whole model"
    if foreign_parts(model):
        return "off", "nobody can foresee what a part of your own keeps in memory"
    held = training_memory(model, config).total * processes_here()
    available = available_memory() if config.device == "cpu" else _gpu_memory()
    if available is None or held <= available:
        return "off", "the whole model fits into each process"
    return "on", f"all of it in each process would need {held / MIB:,.0f} MiB"


def _gpu_memory() -> int:
    """Return the free bytes of all GPUs that this machine's processes use."""
    return sum(torch.cuda.mem_get_info(i)[0] for i in range(processes_here()))


def _save(config: TrainConfig, model: GPTConfig) -> Decision:
    if config.device == "cpu":
        return "foreground", "a thread beside the training gains nothing here, and costs memory"
    if foreign_parts(model):
        return "foreground", "nobody can foresee how large a copy of a part of your own is"
    copy = count_parameters(model).storage("fp32") + optimizer_memory(model, config)
    available = available_memory()
    if available is not None and copy > available:
        return "foreground", "memory is too short for a copy of what is saved"
    return "background", "the GPU need not wait for the disk"


def _loss_chunk(config: TrainConfig, model: GPTConfig) -> Decision:
    if config.device == "cuda":
        return CUDA_LOSS_CHUNK, "1 GiB of logits; fewer rows leave multiprocessors idle"
    return LOSS_CHUNK, "64 MiB of logits; more rows at once are hardly faster"


def _checkpointing(config: TrainConfig, model: GPTConfig) -> Decision:
    if foreign_parts(model):
        return "off", "nobody can foresee the activations of a part of your own"
    available = available_memory() if config.device == "cpu" else None
    without = training_memory(model, dataclasses.replace(config, checkpoint_activations="off"))
    if available is None or without.total <= available:
        return "off", "all activations fit in memory"
    needed = f"{without.total / MIB:,.0f} MiB of {available / MIB:,.0f}"
    return "on", f"with all activations it would need {needed}"


AUTOMATIC: dict[str, Callable[[TrainConfig, GPTConfig], Decision]] = {
    "device": _device,
    "threads": _threads,
    "precision": _precision,
    "compile": _compile,
    "loss_chunk": _loss_chunk,
    "checkpoint_activations": _checkpointing,
    "allocator": partial(_allocator, False),
    "shard": partial(_shard, 1),
    "exact_shards": _exact_shards,
    "save": _save,
}
"""What decides each setting that is left open, in the order in which they are decided."""


def _check_device(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device = 'cuda': this PyTorch sees no CUDA GPU; use 'cpu'")
    if device == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device = 'mps': this PyTorch sees no Apple GPU; use 'cpu'")
