"""Does a reward raise what answers have taught? One kind of tasks, on a small GPT.

A model that was pretrained on texts first learns from answers. Then, from the same checkpoint and
for as many minutes, it goes on in two ways on questions that it has not seen: from their answers,
and from a reward alone. All three are tested on the same questions, whose templates and values are
in none of the records.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch

from benchmarks.assistant import GROUP
from benchmarks.cells import Cells, cells_of
from benchmarks.classifier import data
from benchmarks.classifier.chosen import digest
from benchmarks.student import confidence_95
from benchmarks.turns import Record
from groundup.base.files import atomic_writer
from groundup.data.tasks import TRAIN, make_tasks
from groundup.device.machine import machine

MODULE = "benchmarks.assistant.reward_cell"
FIRST, SECOND, TESTED = 1000, 4000, 400
"""Questions to learn from at first, those to go on with, and those of the test."""
REWARD = {"group": 8, "max_tokens": 32, "kl": 0.0}
WAYS = {
    "answers": "from answers",
    "more-answers": "goes on from answers",
    "reward": "goes on from a reward",
}


def measure(options: argparse.Namespace) -> Record:
    """Pretrain the small GPT, then let it learn in each way from every seed."""
    base = data.nano(options.work, options.pretrain, options.threads)
    return compare(options, cells_of(options, GROUP), base)


def compare(options: argparse.Namespace, cells: Cells, base: Path) -> Record:
    """Measure each way on top of a base, from every seed."""
    sizes = (30, 40, 10) if options.quick else (FIRST, SECOND, TESTED)
    records = tasks(cells.work, options.kind, *sizes[:2])
    rows = [
        one_seed(options, cells, base, records, seed, sizes[2])
        for seed in range(1, options.seeds + 1)
    ]
    return {
        "setting": {
            "kind": options.kind,
            "minutes": options.minutes,
            "pretrain_minutes": options.pretrain,
            "questions": dict(zip(("first", "second", "tested"), sizes, strict=True)),
            "reward": REWARD,
        },
        "machine": machine(torch.device("cpu")),
        "rows": rows,
        "ways": {way: summary([row[way] for row in rows]) for way in WAYS},
        "gains": {
            way: gain([row["reward"] for row in rows], [row[way] for row in rows])
            for way in ("answers", "more-answers")
        },
    }


def one_seed(
    options: argparse.Namespace,
    cells: Cells,
    base: Path,
    records: tuple[Path, Path],
    seed: int,
    tested: int,
) -> Record:
    """Return what each way reaches from a seed."""
    length = {"steps": 2} if options.quick else {"minutes": options.minutes}
    job: Record = {
        "kind": options.kind,
        "seed": seed,
        "threads": options.threads,
        "length": length,
        "tested": tested,
        "reward": REWARD,
        "settings": {},
    }

    def cell(way: str, base: Path, path: Path, **own: Any) -> tuple[Record, Path]:
        named = {"base": str(base.relative_to(cells.work)), "records": path.name}
        asked = job | named | {"way": "reward" if way == "reward" else "answers"} | own
        run = f"{cells.folder}-{way}-{seed}-{digest(asked)}"
        found = cells.of(f"reward-{way}-{seed}", MODULE, asked | {"run": run})
        return found, cells.work / "runs" / run

    rate = {} if options.rate is None else {"learning_rate": options.rate}
    first, learnt = cell("answers", base, records[0])
    return {
        "seed": seed,
        "answers": first,
        "more-answers": cell("more-answers", learnt, records[1])[0],
        "reward": cell("reward", learnt, records[1], settings=rate)[0],
    }


def tasks(work: Path, kind: str, n_first: int, n_second: int) -> tuple[Path, Path]:
    """Write the questions to learn from at first, and those to go on with; return the files."""
    made = make_tasks(TRAIN, n_first + n_second, kinds=[kind])
    parts = {"first": made[:n_first], "second": made[n_first:]}
    paths = []
    for name, part in parts.items():
        paths.append(work / f"{kind}-{name}-{len(part)}.jsonl")
        records = [{"prompt": task.question, "completion": task.answer} for task in part]
        with atomic_writer(paths[-1]) as file:
            file.write("".join(json.dumps(record) + "\n" for record in records).encode())
    return paths[0], paths[1]


def summary(results: list[Record]) -> Record:
    """Return the mean exact match over the seeds with its interval (shares)."""
    shares = [one["exact"] for one in results]
    return {"exact": statistics.fmean(shares), "interval": confidence_95(shares)}


def gain(ours: list[Record], others: list[Record]) -> Record:
    """Return by how much one way is above another, seed by seed, with the mean's interval."""
    gains = [one["exact"] - other["exact"] for one, other in zip(ours, others, strict=True)]
    return {"mean": statistics.fmean(gains), "interval": confidence_95(gains), "seeds": gains}
