"""Does a reward raise what answers have taught? One kind of tasks, on a small GPT.

A model that was pretrained on tasks of all kinds first learns to answer them. Then, from the same
checkpoint and for as many minutes, it goes on in two ways on questions of one kind that it has not
answered before: from their answers, and from a reward alone. All three are tested on the same
questions, whose templates and values are in nothing that was learnt from.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch

from benchmarks.assistant import GROUP, WAYS
from benchmarks.cells import Cells, cells_of
from benchmarks.classifier import data
from benchmarks.classifier.chosen import digest
from benchmarks.student import confidence_95
from benchmarks.turns import Record
from groundup.base.files import atomic_writer
from groundup.data.tasks import TRAIN, make_tasks
from groundup.device.machine import machine

MODULE = "benchmarks.assistant.reward_cell"
FIRST, SECOND, TESTED = 200, 4000, 400
"""Questions of each kind to learn from at first; those to go on with, and those of the test."""
PRETRAINED = {"vocab_size": 512, "context_length": 128, "batch_size": 16, "sample_tokens": 0}
"""A small vocabulary spells words that are in no record; small batches make many steps."""
ANSWERS = {"mix_text": "tasks", "mix_share": 0.5}
REWARD = {"group": 8, "max_tokens": 32, "kl": 0.0}


def measure(options: argparse.Namespace) -> Record:
    """Pretrain the small GPT, then let it learn in each way from every seed."""
    base = options.work / "runs" / f"nano-tasks-{options.pretrain:g}"
    words = ["train", "tasks", "--preset", "nano", "--run", base.name]
    words += ["--minutes", f"{options.pretrain:g}", "--set", f"threads={options.threads}"]
    for name, value in PRETRAINED.items():
        words += ["--set", f"{name}={value}"]
    data.groundup(options.work, *words, threads=options.threads)
    return compare(options, cells_of(options, GROUP), base)


def compare(options: argparse.Namespace, cells: Cells, base: Path) -> Record:
    """Measure each way on top of a base, from every seed."""
    sizes = (3, 40, 10) if options.quick else (FIRST, SECOND, TESTED)
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
        "answers": {} if options.quick else ANSWERS,
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
    """Write questions of all kinds to learn from at first, and those of one to go on with.

    Returns the files.
    """
    first = make_tasks(TRAIN, n_first)
    known = {task.question for task in first}
    others = make_tasks(TRAIN, n_first + n_second, kinds=[kind])
    second = [task for task in others if task.question not in known][:n_second]
    parts = {"first": first, "second": second}
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
