"""How each setting of a training that is left open is decided, and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from groundup.base.hardware import available_memory, usable_cores
from groundup.config import GPTConfig, TrainConfig, foreign_parts
from groundup.device.allocator import can_keep_freed_memory
from groundup.device.products import DEFAULT, choose_products, linear_products
from groundup.device.threads import usable_threads
from groundup.plan.count import count_parameters
from groundup.plan.memory import CUDA_LOSS_CHUNK, LOSS_CHUNK, optimizer_memory, training_memory
from groundup.plan.units import MIB
from groundup.processes.launch import processes_here
from groundup.train.probe import cpu_precision, muon_precision

COMPILE_PAYS_AFTER = 500
"""Steps after which compiling (about a minute) has paid for itself on a GPU."""

MOST_SHARDS = 8
"""Parts of an exact step, where their number was not set: so many processes can share it."""

Decision = tuple[Any, str]
"""A value and the reason for it."""
Decide = Callable[[TrainConfig, GPTConfig], Decision]
Needs = Callable[[TrainConfig], int]
"""Returns the bytes that a training by some settings takes."""


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
    return usable_threads(), "the CPUs this process may use"


def _exact_shards(config: TrainConfig, model: GPTConfig) -> Decision:
    total = config.sequences_per_step
    return min(MOST_SHARDS, total & -total), f"of {total} sequences a step"


def _precision(config: TrainConfig, model: GPTConfig) -> Decision:
    if config.exact == "on":
        return "fp32", "exact sums are offered in fp32"
    if foreign_parts(model):
        return "fp32", "nobody knows what a part of your own computes in fewer bits"
    if config.device == "cpu":
        library = config.products if config.products != "auto" else choose_products()[0]
        with linear_products(library):
            return cpu_precision(model, config.batch_size)
    if config.device == "cuda" and torch.cuda.is_bf16_supported():
        return "bf16", "this GPU multiplies bf16 faster"
    return "fp32", "no narrower format is known faster here"


def _products(config: TrainConfig, model: GPTConfig) -> Decision:
    if config.device != "cpu" or config.precision != "fp32":
        return DEFAULT, "there is a choice on a CPU in fp32 only"
    if config.exact == "on" or config.compile == "on":
        return DEFAULT, "exact sums and compiled blocks have products of their own"
    return choose_products()


def _muon_precision(config: TrainConfig, model: GPTConfig) -> Decision:
    if config.optimizer != "muon" or config.adapts:
        return "fp32", "Muon moves nothing here"
    if config.exact == "on":
        return "fp32", "exact sums are offered in fp32"
    if config.precision == "bf16" or config.device != "cpu":
        return config.precision, "as the products of the layers"
    with linear_products(config.products):
        return muon_precision(model)


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


def _shard(ranks: int, needs: Needs | None, config: TrainConfig, model: GPTConfig) -> Decision:
    if ranks == 1 or config.exact == "on":
        return "off", "every process has the whole model"
    if config.adapts:
        return "off", "adapters are small, and the rest stays as it is"
    if foreign_parts(model):
        return "off", "nobody can foresee what a part of your own keeps in memory"
    held = _needed(needs, config, model) * processes_here()
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


def _needed(needs: Needs | None, config: TrainConfig, model: GPTConfig) -> int:
    """Return the bytes of a training: what its job says, else those of a model's pretraining."""
    return needs(config) if needs else training_memory(model, config).total


def _checkpointing(needs: Needs | None, config: TrainConfig, model: GPTConfig) -> Decision:
    if foreign_parts(model):
        return "off", "nobody can foresee the activations of a part of your own"
    available = available_memory() if config.device == "cpu" else None
    without = _needed(needs, dataclasses.replace(config, checkpoint_activations="off"), model)
    if available is None or without <= available:
        return "off", "all activations fit in memory"
    needed = f"{without / MIB:,.0f} MiB of {available / MIB:,.0f}"
    return "on", f"with all activations it would need {needed}"


AUTOMATIC: dict[str, Decide] = {
    "device": _device,
    "threads": _threads,
    "precision": _precision,
    "compile": _compile,
    "products": _products,
    "muon_precision": _muon_precision,
    "loss_chunk": _loss_chunk,
    "checkpoint_activations": partial(_checkpointing, None),
    "allocator": partial(_allocator, False),
    "shard": partial(_shard, 1, None),
    "exact_shards": _exact_shards,
    "save": _save,
}
"""What decides each setting that is left open, in the order in which they are decided."""


def deciders(own_process: bool, ranks: int, needs: Needs | None = None) -> dict[str, Decide]:
    """Return `AUTOMATIC` for so many processes, of which each is our `own_process` or is not.

    `needs` tells the memory of what is no pretraining.
    """
    return AUTOMATIC | {
        "allocator": partial(_allocator, own_process),
        "shard": partial(_shard, ranks, needs),
        "checkpoint_activations": partial(_checkpointing, needs),
    }
