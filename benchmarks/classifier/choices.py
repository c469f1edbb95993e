"""The comparisons of a book's table, on a small GPT that was pretrained here.

The table is that of "Build a Large Language Model (From Scratch)" (Raschka, 2024), in the folder
ch06/02_bonus_additional-experiments of its code. As there, all spam and as much ham are divided
into 70% to learn from, 10% that validate and 20% to test with, and read five times in batches of
eight; a head alone, which costs nothing, is read as often as `groundup finetune classify` has it.
Each seed draws the ham, divides and starts the head anew. In padded rows every text is filled up
with the end of text, as in the book, and the head sees the vector of the last place, which is
padding for all but the longest.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.cells import Cells, cells_of
from benchmarks.classifier import data
from benchmarks.student import confidence_95
from benchmarks.turns import Record
from groundup.device.machine import machine

MODULE = "benchmarks.classifier.choice_cell"
PASSES, BATCH = 5.0, 8
QUICK = {"steps": 2, "texts": 60}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A way to make a classifier; `book` is the test accuracy of the book's, in percent."""

    title: str
    model: str = "nano"
    layers: str = "last"
    pooling: str = "last"
    """last (token), first (token) or mean."""
    pad: str = "none"
    """none (padding is left out), longest (training text) or context: what is read is padding."""
    random: bool = False
    passes: float = PASSES
    """Over the texts; a head alone has the default of the package."""
    book: float | None = None
    most_seeds: int = 5
    """Seeds at most: a large model takes minutes for each."""


ROWS = {
    "pad": Row(title="last place, padded; last block", pad="longest", book=95.0),
    "first": Row(title="first token; last block", pooling="first", book=75.0),
    "pad-head": Row(title="last place, padded; head", layers="head", pad="longest", book=72.0),
    "context": Row(title="last place of the context; last block", pad="context", book=78.33),
    "pad-random": Row(
        title="last place, padded; all, from random weights",
        layers="all", pad="longest", random=True, book=93.67,
    ),
    "last": Row(title="last token; last block"),
    "mean": Row(title="mean of the tokens; last block", pooling="mean"),
    "head": Row(title="last token; head", layers="head"),
    "head-mean": Row(title="mean of the tokens; head", layers="head", pooling="mean"),
    "all": Row(title="last token; all", layers="all"),
    "random": Row(title="last token; all, from random weights", layers="all", random=True),
    "smollm2-head": Row(
        title="SmolLM2: mean of the tokens; head", model="smollm2", layers="head", pooling="mean",
        most_seeds=3,
    ),
    "smollm2-last": Row(
        title="SmolLM2: last token; last block, 2 passes", model="smollm2", passes=2.0,
        most_seeds=3,
    ),
    "tf-idf": Row(title="TF-IDF with logistic regression", model="", layers="", pooling=""),
}  # fmt: skip


def measure(options: argparse.Namespace) -> Record:
    """Pretrain the small GPT, then measure every row with every seed."""
    bases = {
        "nano": data.nano(options.work, options.pretrain, options.threads),
        "smollm2": data.smollm2(options.work),
    }
    return compare(options, cells_of(options), data.sms(options.work), bases)


def compare(
    options: argparse.Namespace,
    cells: Cells,
    records: Path,
    bases: Mapping[str, Path],
    rows: Mapping[str, Row] = ROWS,
) -> Record:
    """Measure `rows` of the records, as many cells at once as there are cores."""
    jobs = []
    seeds = {name: range(1, min(options.seeds, row.most_seeds) + 1) for name, row in rows.items()}
    for seed in range(1, options.seeds + 1):
        for name, row in rows.items():
            if seed not in seeds[name]:
                continue
            job = {
                **{key: value for key, value in asdict(row).items() if key != "most_seeds"},
                "seed": seed,
                "base": str(bases[row.model].relative_to(cells.work)) if row.model else "",
                "records": str(records.relative_to(cells.work)),
                "quick": QUICK if options.quick else {},
            }
            jobs.append((f"table-{name}-{seed}", job))
    cores = len(os.sched_getaffinity(0))
    results = dict(zip((n for n, _ in jobs), cells.all(MODULE, jobs, cores), strict=True))
    found = {name: [results[f"table-{name}-{seed}"] for seed in seeds[name]] for name in rows}
    return {
        "setting": {"pretrain_minutes": options.pretrain, "texts": data.TEXTS, "batch": BATCH},
        "machine": machine(torch.device("cpu")),
        "rows": [asdict(row) | summary(found[name]) for name, row in rows.items()],
    }


def summary(results: list[Record]) -> Record:
    """Return the mean accuracy over the seeds with its interval (shares), and all results."""
    accuracies = [one["accuracy"] for one in results]
    return {
        "accuracy": statistics.fmean(accuracies),
        "interval": confidence_95(accuracies),
        "macro_f1": statistics.fmean(one["macro_f1"] for one in results),
        "seeds": results,
    }
