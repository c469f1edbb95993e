"""The long speedrun: characters of Shakespeare to loss 1.4697 in windows of 256, on the CPU.

Target B is the best of nanoGPT's GPU recipe after three minutes on an A100, as its README quotes
it; it is not run here. Seeds run one after the other, each as `groundup train` in `--work`; a call
goes on where the last one stopped, and `--slice MINUTES` stops it in time. All slices count, with
what starting again costs.

    python -m benchmarks.speedrun_long --text tinyshakespeare.txt --work long/ [--slice 7]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.report import publish
from benchmarks.speedrun import FIRST_SEED, our_command, our_result
from benchmarks.student import chance_of_mean_at_or_above
from benchmarks.turns import Record, call, environment, middle

TARGET, WINDOW = 1.4697, 256
PRESET = "speedrun"
RECIPE: dict[str, Any] = {
    "n_layers": 4,
    "emb_dim": 192,
    "n_heads": 3,
    "context_length": WINDOW,
    "drop_rate": 0.1,
    "attention_drop_rate": 0.0,
    "steps": 2280,
    "batch_size": 12,
    "learning_rate": 0.003,
    "muon_learning_rate": 0.02,
    "beta2": 0.95,
    "schedule": "wsd",
    "decay_share": 1.0,
    "min_learning_rate": 0.0,
    "precision": "fp32",
    "eval_every": 100_000,
    "eval_tokens": WINDOW,
    "save_every": 500,
    "sample_tokens": 0,
}
"""Frozen before the seeds that count, as OUR_RECIPE of `benchmarks.speedrun` is."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speedrun_long")
    parser.add_argument("--text", type=Path, required=True, help="tinyshakespeare.txt")
    parser.add_argument("--work", type=Path, required=True, help="where the runs are kept")
    parser.add_argument("--slice", type=float, help="stop after so many minutes; go on later")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds")
    parser.add_argument("--out", type=Path, help="where results go [default: benchmarks/results]")
    options = parser.parse_args()
    options.text, options.work = options.text.resolve(), options.work.resolve()
    return options


def advance(options: argparse.Namespace, seed: int, left: float) -> Record | None:
    """Train a seed on for `left` seconds at most; return its result if it is finished."""
    folder = options.work / f"seed-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    slices = folder / "slices.json"
    walls: list[float] = json.loads(slices.read_text()) if slices.exists() else []
    result = folder / "result.json"
    if result.exists():
        kept: Record = json.loads(result.read_text())
        return kept
    words = our_command(options.text, RECIPE | {"threads": options.threads}, PRESET, seed)
    begun = time.perf_counter()
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "groundup", *words],
            cwd=folder,
            env=environment(options.threads),
            stdout=log,
            stderr=log,
        )
        try:
            status = process.wait(left)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            status = process.wait()
    walls.append(time.perf_counter() - begun)
    slices.write_text(json.dumps(walls))
    if status == 128 + signal.SIGTERM:
        return None
    if status:
        raise SystemExit(f"seed {seed}: exit {status}; see {folder / 'log.txt'}")
    record = our_result(options, folder / "runs" / "ours", WINDOW)
    record |= {"seed": seed, "slices": walls, "wall_seconds": sum(walls)}
    record["command"] = "groundup " + " ".join(words).replace(str(options.text), "TEXT")
    result.write_text(json.dumps(record))
    return record


def measure(options: argparse.Namespace) -> Record | None:
    """Train on; return the results when all seeds are finished."""
    end = time.perf_counter() + 60 * (options.slice or 1e6)
    records = []
    for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
        left = end - time.perf_counter()
        record = advance(options, seed, left) if left > 1 else None
        if record is None:
            print(f"seed {seed} is not finished: the same command goes on", file=sys.stderr)
            return None
        records.append(record)
    machine = call("benchmarks.ceilings", {"seconds": 3}, options.threads)
    losses = [record["val_loss"] for record in records]
    return {
        "setting": {
            "target": TARGET,
            "window": WINDOW,
            "threads": options.threads,
            "preset": PRESET,
            "recipe": RECIPE,
        },
        "machine": machine["machine"],
        "load_average": os.getloadavg()[0],
        "ceilings": {key: machine[key] for key in ("gemm_flops", "bandwidth")},
        "seeds": records,
        "summary": {
            "wall_seconds": middle(record["wall_seconds"] for record in records),
            "val_loss": middle(losses),
            "mean_loss": statistics.fmean(losses),
            "p_value": chance_of_mean_at_or_above(losses, TARGET),
            "seeds_below": sum(loss <= TARGET for loss in losses),
        },
    }


if __name__ == "__main__":
    options = parse()
    publish("speedrun_long", measure(options), options)
