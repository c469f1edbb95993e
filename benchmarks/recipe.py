"""What a time budget brings: the defaults of `train --minutes` beside those of another checkout.

Both are given a text, minutes and a seed, and nothing else. A pair of runs takes turns; what is
there already is not trained again, so that the same command goes on. Two hours in all.

    python -m benchmarks.recipe --work W --beside CHECKOUT
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from functools import partial
from itertools import product
from pathlib import Path

from benchmarks.report import publish
from benchmarks.turns import ROOT, Record, call, in_turns, load_of

TEXTS = ("shakespeare", "kjv", "factbook")
MINUTES = (2.0, 5.0)
FIRST_SEED = 501


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipe", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where runs and turns are kept")
    parser.add_argument("--beside", type=Path, required=True, help="another checkout")
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[3], help="how many, or how many for each time"
    )
    parser.add_argument("--texts", nargs="+", default=TEXTS)
    parser.add_argument("--minutes", nargs="+", type=float, default=MINUTES)
    parser.add_argument("--out", type=Path, help="where results go [default: benchmarks/results]")
    options = parser.parse_args()
    options.work = options.work.absolute()
    options.seeds *= len(options.minutes) if len(options.seeds) == 1 else 1
    if len(options.seeds) != len(options.minutes):
        parser.error("--seeds: expected one number, or one for each of --minutes")
    publish("recipe", measure(options), options)


def measure(options: argparse.Namespace) -> Record:
    """Train all pairs, seed after seed, and compare them."""
    sources = {"before": options.beside.resolve(), "now": ROOT}
    facts = call("benchmarks.ceilings", {"seconds": 0.5}, os.cpu_count() or 1)
    runs, turns = [], []
    n_seeds = dict(zip(options.minutes, options.seeds, strict=True))
    for i, minutes, text in product(range(max(options.seeds)), options.minutes, options.texts):
        if i >= n_seeds[minutes]:
            continue
        seed = FIRST_SEED + i
        pair = {
            name: partial(train, options.work / name, source, text, minutes, seed)
            for name, source in sources.items()
        }
        kept = options.work / "turns" / f"{text}-{minutes:g}-{seed}"
        taken = in_turns(pair, 1, kept)
        turns.append(taken)
        for name, (found,) in taken.items():
            runs.append({"text": text, "minutes": minutes, "seed": seed, "source": name, **found})
    return {
        "machine": facts["machine"],
        "load_average": facts["load_average"],
        "ceilings": {key: facts[key] for key in ("gemm_flops", "bandwidth")},
        "load": load_of(*turns),
        "runs": runs,
        "cells": cells(runs),
    }


def train(work: Path, source: Path, text: str, minutes: float, seed: int, _: int = 0) -> Record:
    """Train for so long with all defaults; return what came out."""
    run = work / "runs" / f"{text}-{minutes:g}-{seed}"
    shutil.rmtree(run, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    words = ["train", text, "--minutes", f"{minutes:g}", "--seed", str(seed)]
    words += ["--runs", str(run.parent), "--run", run.name]
    environment = {**os.environ, "PYTHONPATH": str(source / "src"), "PYTHONSAFEPATH": "1"}
    with (work / f"{run.name}.txt").open("wb") as log:
        command = [sys.executable, "-m", "groundup", *words]
        subprocess.run(command, cwd=work, env=environment, stdout=log, stderr=log, check=True)
    lines = (run / "metrics.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    for weights in run.glob("**/*.safetensors"):
        weights.unlink()
    return {"bits_per_byte": last["val_bits_per_byte"], "tokens": last["tokens"]}


def cells(runs: list[Record]) -> list[Record]:
    """Return the means of all seeds for each text and time."""
    rows = []
    for text, minutes in dict.fromkeys((run["text"], run["minutes"]) for run in runs):
        row: Record = {"text": text, "minutes": minutes}
        for name in ("before", "now"):
            some = [
                r for r in runs if (r["text"], r["minutes"], r["source"]) == (text, minutes, name)
            ]
            row[name] = statistics.fmean(run["bits_per_byte"] for run in some)
            row[f"{name}_tokens"] = statistics.fmean(run["tokens"] for run in some)
            row[f"{name}_runs"] = [run["bits_per_byte"] for run in some]
        row["ratio"] = row["now"] / row["before"]
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
