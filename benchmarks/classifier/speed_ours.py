"""One turn of ours: whole optimizer steps by the package's own `Trainer.fit`."""

from __future__ import annotations

import csv
from pathlib import Path

from benchmarks.beside.ours import chosen, clocked, settings_of
from benchmarks.beside.turns import speed_of
from benchmarks.cells import answer
from benchmarks.turns import Record
from groundup.data.examples import Example
from groundup.finetune.classifier.api import InPython
from groundup.finetune.classifier.rows import LabelledRows
from groundup.finetune.settings import ClassifierSettings, training_defaults
from groundup.plan.units import MIB
from groundup.runs.load import load
from groundup.train import choose


def job_of(job: Record) -> InPython:
    """Return the training of a case."""
    work = Path(job["work"])
    loaded = load(work / job["base"])
    asked = ClassifierSettings(pooling="last", max_length=job.get("most"))
    made = InPython(
        loaded.model.requires_grad_(),
        loaded.tokenizer,
        examples_of(work / job["records"], job["joined"]),
        asked,
        settings_of(job, training_defaults("all")),
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


def result(job: Record) -> Record:
    """Train; return the speed after the untimed steps, the losses and the peak memory."""
    made = job_of(job)
    choices = choose(made.settings, made.widest, made.rate_share, made.own_process)
    source = made.source(choices.config)
    assert isinstance(source, LabelledRows), "where more than a head learns"
    with choices.in_force():
        clock = clocked(made.step(made.model(choices.config.seed), choices), source, choices)
    n, size = job["steps"], choices.config.batch_size
    tokens = [source.rows(step * size, size).n_tokens for step in range(n)]
    return speed_of(clock.ticks, clock.losses, tokens) | {
        "planned_mib": made.plan(choices.config).memory["total"] / MIB,
        "padding": source.order.padding_share(source.n_rows),
        "choices": chosen(choices),
    }


if __name__ == "__main__":
    answer(result)
