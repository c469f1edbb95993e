"""Short questions with checkable answers: a published model asked, shown examples, and taught.

SmolLM2-135M-Instruct answers the test of the named records `tasks`: as it is, behind five answered
questions of the same kind, and after it has learnt from the training questions, with adapters or
with all weights. Each way is a run of `groundup finetune instruct`, which judges itself.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import torch

from benchmarks.assistant import GROUP
from benchmarks.cells import Cells, cells_of
from benchmarks.classifier import data
from benchmarks.classifier.chosen import digest
from benchmarks.student import confidence_95
from benchmarks.turns import Record
from groundup.data.tasks import PER_KIND, TEST
from groundup.device.machine import machine

SHOWN = "benchmarks.assistant.shown_cell"
TAUGHT = "benchmarks.assistant.taught_cell"
GENERAL = "factbook"
"""The text on which it is measured what was forgotten."""
SHOTS = 5
EXAMPLES: dict[str, Record] = {
    "0-shot": {"shots": 0, "examples": "turns"},
    f"{SHOTS}-shot": {"shots": SHOTS, "examples": "turns"},
    f"{SHOTS}-shot-lines": {"shots": SHOTS, "examples": "lines"},
}
"""The answered questions that stand before the one that is asked, as turns of the dialogue or as
lines of the message that asks."""
WAYS = {"lora": 3, "full": 1}
"""Seeds of each way to learn."""
BAR = 0.6
"""Macro average of exact match."""


def measure(options: argparse.Namespace) -> Record:
    """Ask the model in each way, from every seed."""
    return compare(options, cells_of(options, GROUP), data.smollm2(options.work))


def compare(options: argparse.Namespace, cells: Cells, base: Path) -> Record:
    """Measure each way on top of a base."""
    job: Record = {
        "base": str(base.relative_to(cells.work)),
        "threads": options.threads,
        "per_kind": 2 if options.quick else PER_KIND[TEST],
    }
    shown = {
        name: cells.of(f"answers-{name}", SHOWN, job | own | {"seed": 1})
        for name, own in EXAMPLES.items()
    }
    length = {"steps": 2} if options.quick else {"epochs": options.epochs}
    rows: dict[str, list[Record]] = {}
    for way, seeds in WAYS.items():
        for seed in range(1, min(seeds, options.seeds) + 1):
            own = job | {"way": way, "seed": seed, "length": length, "general": GENERAL}
            own |= {"mix": options.mix}
            run = f"{cells.folder}-answers-{way}-{seed}-{digest(own)}"
            found = cells.of(f"answers-{way}-{seed}", TAUGHT, own | {"run": run})
            rows.setdefault(way, []).append(found | {"seed": seed})
    return {
        "setting": {"epochs": options.epochs, "shots": SHOTS, "mix": options.mix, "bar": BAR},
        "machine": machine(torch.device("cpu")),
        "shown": shown,
        "rows": rows,
        "ways": {way: summary(found) for way, found in rows.items()},
    }


def summary(results: list[Record]) -> Record:
    """Return the mean exact match over the seeds with its interval, and what was forgotten."""
    shares = [one["after"]["replies"]["exact"] for one in results]
    bits = [one["after"]["bits_per_byte"] / one["before"]["bits_per_byte"] - 1 for one in results]
    return {
        "exact": statistics.fmean(shares),
        "interval": confidence_95(shares),
        "forgotten": statistics.fmean(bits),
    }
