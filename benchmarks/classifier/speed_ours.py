"""One turn of ours: whole optimizer steps by the package's own `Trainer.fit`."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

from benchmarks.classifier.cells import answer
from benchmarks.classifier.speed import ALPHA, RANK, RATES, speed_of
from benchmarks.turns import Record
from groundup.base.signals import Requests
from groundup.config import TrainConfig, build
from groundup.data.examples import Example
from groundup.finetune.api import InPython
from groundup.finetune.labelled_rows import LabelledRows
from groundup.finetune.settings import ClassifierSettings, training_defaults
from groundup.plan.units import MIB
from groundup.runs.load import load
from groundup.train import Listener, Trainer, choose

NEVER = 1_000_000


def job_of(job: Record) -> InPython:
    """Return the training of a case."""
    work = Path(job["work"])
    loaded = load(work / job["base"])
    adapters = {"lora_rank": RANK, "lora_alpha": ALPHA} if job["method"] == "lora" else {}
    settings: dict[str, Any] = {
        **training_defaults("all"),
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
    asked = ClassifierSettings(pooling="last", max_length=job.get("most"))
    made = InPython(
        loaded.model.requires_grad_(),
        loaded.tokenizer,
        examples_of(work / job["records"], job["joined"]),
        asked,
        build(TrainConfig, settings),
    )
    made.start_token, made.pooling = loaded.generation.get("start_token"), "last"
    made.own_process = True
    return made


def examples_of(path: Path, joined: int) -> list[Example]:
    """Return texts of so many messages of one class each."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    examples = []
    for label in sorted({row["label"] for row in rows}):
        texts = [row["text"] for row in rows if row["label"] == label]
        for first in range(0, len(texts) - joined + 1, joined):
            text = "\n".join(texts[first : first + joined])
            examples.append(Example(text, label, None, f"{label} {first}"))
    return examples


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


def result(job: Record) -> Record:
    """Train; return the speed after the untimed steps, the losses and the peak memory."""
    made, clock = job_of(job), Clock()
    choices = choose(made.settings, made.widest, made.rate_share, made.own_process)
    source = made.source(choices.config)
    assert isinstance(source, LabelledRows), "where more than a head learns"
    with choices.in_force(), Requests() as requests:
        model = made.model(choices.config.seed)
        trainer = Trainer(
            step=made.step(model, choices),
            batches=source,
            choices=choices,
            evaluate=lambda *asked: None,
            sample=lambda *asked: None,
            listeners=[clock],
        )
        trainer.fit(requests)
    n, size = job["steps"], choices.config.batch_size
    tokens = [source.rows(step * size, size).n_tokens for step in range(n)]
    return speed_of(clock.ticks, clock.losses, tokens) | {
        "planned_mib": made.plan(choices.config).memory["total"] / MIB,
        "padding": source.order.padding_share(source.n_rows),
        "choices": {
            name: getattr(choices.config, name)
            for name in ("precision", "products", "allocator", "checkpoint_activations")
        },
    }


if __name__ == "__main__":
    answer(result)
