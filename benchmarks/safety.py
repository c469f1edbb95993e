"""What safety costs: checkpoints every 100 steps, in the foreground or beside the training, and
sums that are exact in any layout.

    python -m benchmarks.safety
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.report import publish
from benchmarks.turns import Record, environment
from groundup.device.machine import machine

NEVER = 1_000_000
CONTESTANTS: dict[str, dict[str, Any]] = {
    "no checkpoints": {"save_every": NEVER},
    "every 100 steps, foreground": {"save_every": 100, "save": "foreground"},
    "every 100 steps, background": {"save_every": 100, "save": "background"},
    "exact, no checkpoints": {"save_every": NEVER, "exact": "on"},
}
BASE = next(iter(CONTESTANTS))
SIZES = {"pico": 300}
COMMON: dict[str, Any] = {
    "eval_every": NEVER,
    "eval_tokens": 256,
    "sample_tokens": 0,
    "threads": 2,
    "precision": "fp32",
    "batch_size": 8,
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.safety")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every contestant")
    parser.add_argument("--out", type=Path, help="where results go [default: benchmarks/results]")
    return parser.parse_args()


def seconds(work: Path, size: str, name: str, number: int) -> tuple[float, float]:
    """Return the seconds of a fresh run's steps and saves, and of those of the saves alone.

    Turns differ by a tenth on a machine that is not quiet, more than saving takes: what training
    waits for it is timed in the run.
    """
    run = f"{size}-{name.replace(' ', '-').replace(',', '')}-{number}"
    words = ["train", "shakespeare", "--preset", size, "--run", run, "--json"]
    for key, value in (COMMON | CONTESTANTS[name] | {"steps": SIZES[size]}).items():
        words += ["--set", f"{key}={value}"]
    code = (
        "import json, sys, time; from groundup.train import loop; genuine = loop.Trainer.fit\n"
        "save, waited = loop.Trainer._save, [0.0]\n"
        "def timed_save(self):\n"
        "    begun = time.perf_counter(); save(self); waited[0] += time.perf_counter() - begun\n"
        "def fit(self, requests):\n"
        "    self.duties.evaluate = lambda *asked: None; begun = time.perf_counter()\n"
        "    result = genuine(self, requests)\n"
        "    times = [time.perf_counter() - begun, waited[0]]\n"
        "    print(json.dumps(times), file=sys.stderr); return result\n"
        "loop.Trainer.fit, loop.Trainer._save = fit, timed_save\n"
        "from groundup.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=work,
        env=environment(2),
        capture_output=True,
        text=True,
        check=True,
    )
    whole, saving = json.loads(done.stderr.splitlines()[-1])
    return whole, saving


def measure(options: argparse.Namespace) -> Record:
    """Let the contestants take turns."""
    spent: dict[str, dict[str, list[tuple[float, float]]]]
    spent = {size: {name: [] for name in CONTESTANTS} for size in SIZES}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            for size in SIZES:
                for name in CONTESTANTS:
                    took = seconds(Path(folder), size, name, number)
                    spent[size][name].append(took)
                    told = f"{size}, {name}: {took[0]:.2f} s, {took[1]:.3f} s of them for saving"
                    print(told, file=sys.stderr, flush=True)
    rows = []
    for size, times in spent.items():
        for name, turns in times.items():
            whole, saving = (statistics.median(values) for values in zip(*turns, strict=True))
            row = {"size": size, "steps": SIZES[size], "name": name, "turns": turns}
            base = statistics.median(turn[0] for turn in times[BASE])
            row |= {"seconds": whole, "ratio": whole / base, "saving": saving / whole}
            rows.append(row)
    return {"machine": machine(torch.device("cpu")), "common": COMMON, "rows": rows}


if __name__ == "__main__":
    options = parse()
    publish("safety", measure(options), options)
