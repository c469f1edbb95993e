"""How much memory classifiers take, beside what was planned: SmolLM2 on the longest SMS messages.

Of each label the longest messages, so that the first batches are about as long as the longest text,
which the plan reckons with. The peak is that of the whole process, with its judging at the end.
"""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path

import torch

from benchmarks.cells import Cells, cells_of
from benchmarks.classifier import data
from benchmarks.turns import Record
from groundup.device.machine import machine

MODULE = "benchmarks.classifier.memory_cell"
LONGEST = 60
"""Messages of each label."""
CASES: dict[str, Record] = {
    "lora": {"title": "LoRA", "method": "lora", "batch": 16},
    "full": {"title": "all weights", "method": "full", "batch": 16, "most": 128},
    "lora-1": {"title": "LoRA", "method": "lora", "batch": 1, "most": 256},
    "full-1": {"title": "all weights", "method": "full", "batch": 1, "most": 256},
    "dora": {"title": "DoRA", "method": "dora", "batch": 4, "most": 128},
    "last": {"title": "the last block", "layers": "last", "batch": 16, "most": 128},
    "head": {"title": "the head", "layers": "head", "batch": 16},
    "lora-bf16": {"title": "LoRA", "method": "lora", "batch": 16, "precision": "bf16"},
    "full-bf16": {
        "title": "all weights", "method": "full", "batch": 4, "most": 128, "precision": "bf16",
    },
}  # fmt: skip
"""`most` tokens of a text are read at most: all of the longest one, where it does not say."""


def measure(options: argparse.Namespace) -> Record:
    """Train a few steps of every case, each in a process of its own."""
    records = longest(data.sms(options.work), 20 if options.quick else LONGEST)
    return compare(options, cells_of(options), records, data.smollm2(options.work))


def compare(options: argparse.Namespace, cells: Cells, records: Path, base: Path) -> Record:
    """Measure every case on top of a base."""
    rows = []
    for name, case in CASES.items():
        job = {
            "layers": "all", "method": "full", "precision": "fp32", "most": None,
            **{key: value for key, value in case.items() if key != "title"},
            "base": str(base.relative_to(cells.work)),
            "records": str(records.relative_to(cells.work)),
            "threads": options.threads,
            "run": f"{cells.folder}-memory-{name}",
        }  # fmt: skip
        rows.append(case | job | cells.of(f"memory-{name}", MODULE, job))
    return {"machine": machine(torch.device("cpu")), "rows": rows}


def longest(path: Path, n: int) -> Path:
    """Return the `n` longest messages of each label as a file of their own."""
    chosen = path.with_name(f"longest-{n}-{path.name}")
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    kept = list({row[1].casefold(): row for row in rows}.values())
    kept.sort(key=lambda row: (-len(row[1]), row[1]))
    labels = sorted({row[0] for row in kept})
    table = io.StringIO()
    csv.writer(table).writerows(
        [header, *(row for label in labels for row in [r for r in kept if r[0] == label][:n])]
    )
    data.write(chosen, table.getvalue())
    return chosen
