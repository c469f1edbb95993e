"""A turn of ours: whole optimizer steps by the package's own `Trainer.fit`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from benchmarks.beside.turns import ALPHA, RANK, RATES, folder_of
from benchmarks.turns import Record
from groundup.base.signals import Requests
from groundup.config import GPTConfig, TrainConfig, build
from groundup.config.adaptation import is_adapter
from groundup.data import Source
from groundup.optim.step import Step
from groundup.train import Listener, Trainer
from groundup.train.choices import Choices
from groundup.weights.peft import Adapters, write_peft

NEVER = 1_000_000


def settings_of(job: Record, defaults: Record) -> TrainConfig:
    """Return the settings of a case: `defaults` of its kind, and what the peer has, too."""
    adapters = {"lora_rank": RANK, "lora_alpha": ALPHA} if job["method"] == "lora" else {}
    settings: dict[str, Any] = {
        **defaults,
        "method": job["method"],
        **adapters,
        "batch_size": job["batch"],
        "steps": job["steps"],
        "learning_rate": RATES[job["method"]],
        "schedule": "constant",
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "threads": job["threads"],
        "device": "cpu",
        "precision": job["precision"],
        "eval_every": NEVER,
        "sample_tokens": 0,
    }
    return build(TrainConfig, settings)


def write_adapters(named: Mapping[str, Tensor], config: GPTConfig, job: Record) -> None:
    """Write the adapters among tensors beside a case's start, as peft reads them, if there are."""
    if tensors := {name: tensor.detach() for name, tensor in named.items() if is_adapter(name)}:
        kept = Adapters(method="lora", rank=RANK, alpha=ALPHA, tensors=tensors)
        write_peft(kept, config, str(job["peer"]), folder_of(job) / "adapter")


class Clock(Listener):
    """Notes when each step ends, and its loss."""

    def __init__(self) -> None:
        self.ticks: list[float] = []
        self.losses: list[float] = []

    def metrics(self, record: dict[str, Any]) -> None:
        """Receive the figures of a step."""
        if "train_loss" in record:
            self.ticks.append(time.perf_counter())
            self.losses.append(record["train_loss"])


def clocked(step: Step[Any], source: Source, choices: Choices) -> Clock:
    """Train to the end; `choices` are in force."""
    clock = Clock()
    with Requests() as requests:
        trainer = Trainer(
            step=step,
            batches=source,
            choices=choices,
            evaluate=lambda *asked: None,
            sample=lambda *asked: None,
            listeners=[clock],
        )
        trainer.fit(requests)
    return clock


def chosen(choices: Choices) -> Record:
    """Return what was chosen that decides the speed."""
    names = ("precision", "products", "allocator", "checkpoint_activations")
    return {name: getattr(choices.config, name) for name in names}
