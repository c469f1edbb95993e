"""Muon, with products in fp32 and in bf16, beside AdamW: two texts and sizes, several seeds.

All train the same presets on the same prepared text, in the same number of steps; each optimizer
has the learning rates that `groundup train` chooses for it.

    python -m benchmarks.optimizers --work W
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.report import publish
from benchmarks.turns import Record, environment

TEXTS = ("kjv", "factbook")
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "muon": {"optimizer": "muon", "muon_precision": "fp32"},
    "muon, bf16": {"optimizer": "muon", "muon_precision": "bf16"},
    "adamw": {"optimizer": "adamw"},
}
SIZES: dict[str, dict[str, Any]] = {
    "pico": {"steps": 300, "batch_size": 16},
    "nano": {"steps": 300, "batch_size": 8},
}
COMMON: dict[str, Any] = {"threads": 1, "precision": "fp32", "sample_tokens": 0}
FIRST_SEED = 401


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optimizers")
    parser.add_argument("--work", type=Path, required=True, help="where the runs are kept")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds")
    parser.add_argument("--out", type=Path, help="where results go [default: benchmarks/results]")
    options = parser.parse_args()
    options.work = options.work.resolve()
    return options


def train(work: Path, size: str, text: str, optimizer: str, seed: int) -> Record:
    """Train one run, unless it is there already; return its last validation."""
    name = f"{text}-{size}-{optimizer.replace(', ', '-')}-{seed}"
    metrics = work / "runs" / name / "metrics.jsonl"
    words = ["train", text, "--preset", size, "--run", name, "--seed", str(seed), "--json"]
    for key, value in (SIZES[size] | COMMON | OPTIMIZERS[optimizer]).items():
        words += ["--set", f"{key}={value}"]
    if not (metrics.exists() and '"finished"' in metrics.read_text()):
        with (work / f"{name}.txt").open("wb") as log:
            subprocess.run(
                [sys.executable, "-m", "groundup", *words],
                cwd=work,
                env=environment(1),
                stdout=log,
                stderr=log,
                check=True,
            )
        print(name, file=sys.stderr, flush=True)
    last = json.loads(metrics.read_text().splitlines()[-1])
    kept = {"text": text, "size": size, "optimizer": optimizer, "seed": seed}
    return kept | {key: last[key] for key in ("val_loss", "tokens")}


def measure(options: argparse.Namespace) -> Record:
    """Train all, as many at once as there are cores, each on one thread."""
    options.work.mkdir(parents=True, exist_ok=True)
    seeds = range(FIRST_SEED, FIRST_SEED + options.seeds)
    jobs = list(product(SIZES, TEXTS, OPTIMIZERS, seeds))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        records = list(pool.map(lambda job: train(options.work, *job), jobs))
    return {"sizes": SIZES, "common": COMMON, "runs": records, "summary": summary(records)}


def summary(records: list[Record]) -> list[Record]:
    """Return for each text and size the losses of all, seed for seed."""
    rows = []
    for size, text in product(SIZES, TEXTS):
        losses = {
            name: [
                r["val_loss"]
                for r in records
                if (r["text"], r["size"], r["optimizer"]) == (text, size, name)
            ]
            for name in OPTIMIZERS
        }
        means = {name: statistics.fmean(values) for name, values in losses.items()}
        rows.append({"text": text, "size": size, "means": means, "losses": losses})
    return rows


if __name__ == "__main__":
    options = parse()
    publish("optimizers", measure(options), options)
