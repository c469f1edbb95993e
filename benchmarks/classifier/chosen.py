"""Two real checks: SmolLM2 by the setting that validation chooses, beside TF-IDF.

Candidates learn different layers, each for its share of the minutes, and are compared on the
validation texts alone. The best one decides about the test texts, once. The head comes first: it
chooses what all of them see, the last token or the mean.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import statistics
from pathlib import Path
from typing import Any

import torch

from benchmarks.cells import Cells, cells_of
from benchmarks.classifier import data
from benchmarks.turns import Record
from groundup.device.machine import machine
from groundup.finetune.settings import DEFAULT_EPOCHS

CANDIDATE = "benchmarks.classifier.candidate_cell"
VERDICT = "benchmarks.classifier.verdict_cell"

SHARES = {"head": 0.25, "last": 0.15, "lora": 0.55}
"""Of the minutes; the rest is for reading the validation texts with each. A head alone learns in
seconds once the texts have been read, for which its share is reckoned: it gets passes in place of
minutes. All weights are no candidate: in a trial of four minutes on SMS messages, beside other
programs, they came to 29 steps and 0.72 on the validation texts, LoRA to 60 and 0.995."""
SMALL_PASSES = {"head": DEFAULT_EPOCHS["head"], "last": 5.0, "lora": 3.0, "all": 3.0}
"""Of the small GPT, which is quick."""
BAR = 0.97
"""Macro F1 of SmolLM2 on the SMS messages."""
LEARNT, TESTED, HARD, TOKENS = 750, 500, 250, 128
"""E-mails to learn from (of which a tenth validates), to test with of each later group and of hard
ham, which is all there is; and how much of each is read."""


def measure_sms(options: argparse.Namespace) -> Record:
    """Measure SmolLM2 and the small GPT on SMS messages, for several ways to divide them."""
    cells, records = cells_of(options), data.sms(options.work)
    records = data.few(records, 40) if options.quick else records
    bases = {
        "smollm2": data.smollm2(options.work),
        "nano": data.nano(options.work, options.pretrain, options.threads),
    }
    return check_sms(options, cells, records, bases)


def check_sms(
    options: argparse.Namespace, cells: Cells, records: Path, bases: dict[str, Path]
) -> Record:
    """Measure each base on the records."""
    rows = {
        name: [
            decide(cells, f"sms-{name}-{seed}", job_of(cells, options, base, name, seed, [records]))
            for seed in range(1, options.seeds + 1)
        ]
        for name, base in bases.items()
    }
    return {
        "setting": {"minutes": options.minutes, "bar": BAR},
        "machine": machine(torch.device("cpu")),
        "rows": rows,
        "macro_f1": {name: mean_of(found, "test") for name, found in rows.items()},
    }


def measure_mail(options: argparse.Namespace) -> Record:
    """Measure SmolLM2 on e-mails of another time than those it has learnt from."""
    groups, base = data.mail(options.work), data.smollm2(options.work)
    return check_mail(options, cells_of(options), groups, base)


def check_mail(
    options: argparse.Namespace, cells: Cells, groups: dict[str, Path], base: Path
) -> Record:
    """Draw the e-mails of each seed, and measure the base on them."""
    folder = cells.work / "mail"
    folder.mkdir(exist_ok=True)
    tokenizer = base / "tokenizer.json"
    n_learnt, n_tested, n_hard = (60, 10, 10) if options.quick else (LEARNT, TESTED, HARD)
    sizes = {"easy-ham-2": n_tested, "spam-2": n_tested, "hard-ham-1": n_hard}
    tests = [draw(folder, groups, [name], n, 0, tokenizer) for name, n in sizes.items()]
    rows = []
    for seed in range(1, options.seeds + 1):
        learnt = draw(folder, groups, ["easy-ham-1", "spam-1"], n_learnt, seed, tokenizer)
        job = job_of(cells, options, base, "smollm2", seed, [learnt], tests)
        job |= {
            "max_length": TOKENS,
            "parts": {"later": ["easy-ham-2", "spam-2"], "hard": ["hard-ham-1"]},
        }
        rows.append(decide(cells, f"mail-{seed}", job))
    return {
        "setting": {"minutes": options.minutes, "learnt": n_learnt, "tokens": TOKENS},
        "machine": machine(torch.device("cpu")),
        "rows": rows,
        "macro_f1": mean_of(rows, "later"),
    }


def draw(
    folder: Path,
    groups: dict[str, Path],
    names: list[str],
    n: int,
    seed: int,
    tokenizer: Path,
) -> Path:
    """Write `n` e-mails of some groups, of each its share; return the file.

    Their text is what the first tokens hold, so that all see the same; the whole stands beside it.
    """
    from groundup.tokenizer import load_tokenizer

    path = folder / f"{'-and-'.join(names)}-{n}-{seed}.jsonl"
    if path.exists():
        return path
    tokens, chance = load_tokenizer(str(tokenizer)), random.Random(seed)
    read = [groups[name].read_text(encoding="utf-8").splitlines() for name in names]
    total, lines = sum(map(len, read)), []
    for group in read:
        for line in chance.sample(group, round(n * len(group) / total)):
            record = json.loads(line)
            ids = tokens.encode(record["text"])[: TOKENS - 1]  # one may begin the text
            beginning = tokens.decode(ids).rstrip("\N{REPLACEMENT CHARACTER}")
            lines.append(json.dumps(record | {"text": beginning, "whole": record["text"]}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def job_of(
    cells: Cells,
    options: argparse.Namespace,
    base: Path,
    model: str,
    seed: int,
    records: list[Path],
    tests: list[Path] | None = None,
) -> Record:
    """Return what all candidates of a base and a seed have in common."""
    return {
        "base": str(base.relative_to(cells.work)),
        "records": [str(path.relative_to(cells.work)) for path in records],
        "test_records": [str(path.relative_to(cells.work)) for path in tests or []],
        "seed": seed,
        "max_length": data.CONTEXT,
        "minutes": None if model == "nano" else options.minutes,
        "steps": 2 if options.quick else None,
        "threads": options.threads,
        "parts": {"test": None},
    }


def decide(cells: Cells, name: str, job: Record) -> Record:
    """Train the candidates, and test the one that is best on the validation texts."""
    found: dict[str, Record] = {}
    pooling = "auto"
    runs = {}
    for way in SMALL_PASSES if job["minutes"] is None else SHARES:
        own = job | {"way": way, "pooling": pooling} | length(job, way)
        runs[way] = run = f"{cells.folder}-{name}-{way}-{digest(own)}"
        found[way] = cells.of(f"{name}-{way}", CANDIDATE, own | {"run": run})
        pooling = found[way]["pooling"]
    best = max(found, key=lambda way: (found[way]["macro_f1"], -found[way]["loss"]))
    verdict = cells.of(f"{name}-verdict", VERDICT, job | {"run": runs[best]})
    for way, run in runs.items():
        if way != best:  # gigabytes of what nobody asks again
            shutil.rmtree(cells.work / "runs" / run, ignore_errors=True)
    return {
        "seed": job["seed"],
        "chosen": best,
        "pooling": pooling,
        "candidates": found,
        "minutes": sum(one["wall_seconds"] for one in found.values()) / 60,
        **verdict,
    }


def digest(job: Record) -> str:
    """Return a name for these settings, so that a run never goes on with others."""
    return hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()[:8]


def length(job: Record, way: str) -> dict[str, Any]:
    """Return how long a candidate learns, as a setting of the training."""
    if job["steps"]:
        return {"length": {"steps": job["steps"]}}
    if way == "head" or job["minutes"] is None:
        return {"length": {"epochs": SMALL_PASSES[way]}}
    return {"length": {"minutes": job["minutes"] * SHARES[way]}}


def mean_of(rows: list[Record], part: str) -> dict[str, float]:
    """Return the mean macro F1 of a part of the test, ours and TF-IDF's."""
    return {
        who: statistics.fmean(row["parts"][part][who]["macro_f1"] for row in rows)
        for who in ("ours", "tf_idf")
    }
