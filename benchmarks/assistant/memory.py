"""How much memory an assistant takes, beside what was planned: SmolLM2, rows of 512 tokens.

Some steps of `groundup finetune instruct` on dialogues of people, a row a batch, from the base to
the judged run. The peak is that of the whole process.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.assistant import GROUP, talks
from benchmarks.cells import Cells, cells_of
from benchmarks.classifier import data
from benchmarks.turns import Record, call

MODULE = "benchmarks.assistant.memory_cell"
RECORDS = 200
"""Dialogues, of which eight tenths are learnt, and a tenth validates and tests each."""
GIB = 1024
CASES: dict[str, Record] = {
    "lora": {"title": "LoRA", "method": "lora", "precision": "fp32", "most_mib": 2.5 * GIB},
    "full": {"title": "all weights", "method": "full", "precision": "fp32", "most_mib": 4.5 * GIB},
    "lora-chosen": {
        "title": "LoRA", "method": "lora", "precision": "auto", "most_mib": 2.5 * GIB
    },
    "full-chosen": {
        "title": "all weights", "method": "full", "precision": "auto", "most_mib": 4.5 * GIB
    },
}  # fmt: skip
"""In fp32, and in the precision that ours chooses; `most_mib` is the bar."""


def measure(options: argparse.Namespace) -> Record:
    """Train a few steps of every case, each in a process of its own."""
    records = talks.few(talks.chitchat(options.work), 60 if options.quick else RECORDS)
    return compare(options, cells_of(options, GROUP), records, data.smollm2(options.work))


def compare(options: argparse.Namespace, cells: Cells, records: Path, base: Path) -> Record:
    """Measure every case on top of a base."""
    rows = []
    for name, case in CASES.items():
        job = {
            "method": case["method"],
            "precision": case["precision"],
            "row": talks.LONGEST,
            "replies": 2 if options.quick else 16,
            "base": str(base.relative_to(cells.work)),
            "records": str(records.relative_to(cells.work)),
            "threads": options.threads,
            "run": f"{cells.folder}-memory-{name}",
        }
        found = cells.of(f"memory-{name}", MODULE, job)
        rows.append({"title": case["title"], "most_mib": case["most_mib"], **job, **found})
    ceilings = call("benchmarks.ceilings", {"seconds": 0.2}, options.threads)
    return {"machine": ceilings["machine"], "rows": rows}
