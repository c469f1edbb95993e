"""Contestants take turns, each turn a fresh process: A B C, A B C, … so that all see one machine.

The parent never imports torch: on Linux a child's ru_maxrss starts at what its parent held.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

Record = dict[str, Any]


def parse() -> argparse.Namespace:
    """Read the options that all benchmarks share."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--text", type=Path, help="tinyshakespeare.txt, for the Shakespeare part")
    parser.add_argument("--nanogpt", type=Path, help="a checkout of karpathy/nanoGPT to run beside")
    parser.add_argument("--litgpt", type=Path, help="the python of an environment with litgpt")
    parser.add_argument(
        "--model", type=Path, help="a run folder to talk with, for the start-up part"
    )
    parser.add_argument("--llama", type=Path, help="that of one with llama-cpp-python")
    parser.add_argument("--speak-rounds", type=int, default=1, help="turns of who generates")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of every contestant")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every contestant")
    parser.add_argument("--steps", type=int, default=4, help="timed training steps in a turn")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: checks that it all runs")
    parser.add_argument("--out", type=Path, help="where results go [default: benchmarks/results]")
    options = parser.parse_args()
    for name in ("text", "nanogpt", "litgpt", "llama", "model"):
        path = getattr(options, name)
        if path is not None and not path.exists():
            parser.error(f"--{name} {path}: no such path")
        setattr(options, name, path and path.absolute())  # an environment's python is a link
    if options.quick:
        options.rounds, options.steps = 1, 2
        options.out = options.out or Path(tempfile.mkdtemp(prefix="groundup-bench-"))
    return options


def environment(threads: int) -> dict[str, str]:
    """Return the environment of every contestant: this checkout, and so many threads."""
    paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    count = str(threads)
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "TOKENIZERS_PARALLELISM": "false",
    }


def call(module: str, job: Record, threads: int, python: Path | None = None) -> Record:
    """Run `python -m module JOB` and return the JSON object that it prints last."""
    done = subprocess.run(
        [python or sys.executable, "-m", module, json.dumps(job)],
        env=environment(threads),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{module} {job}:\n{done.stderr}")
    record: Record = json.loads(done.stdout.splitlines()[-1])
    return record


def timed_process(command: list[str], cwd: Path, threads: int) -> Record:
    """Run a command to its end; return its wall time (s) and its peak memory (MiB)."""
    log = cwd / "log.txt"
    with log.open("wb") as output:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=cwd, env=environment(threads), stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{log.read_text()[-4000:]}")
    return {"wall_seconds": seconds, "peak_memory_mib": mib(usage.ru_maxrss)}


def mib(ru_maxrss: int) -> float:
    """Return what the kernel calls maxrss, which counts KiB (bytes on macOS), in MiB."""
    return ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def in_turns(
    contestants: Mapping[str, Callable[[int], Record]], rounds: int
) -> dict[str, list[Record]]:
    """Let everyone take turn after turn; return each one's records, a turn each."""
    records: dict[str, list[Record]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name, turn in contestants.items():
            begun = time.perf_counter()
            records[name].append(turn(number))
            note = f"round {number + 1}/{rounds}  {name}  {time.perf_counter() - begun:.0f} s"
            print(note, file=sys.stderr, flush=True)
    return records


def middle(values: Iterable[float]) -> Record:
    """Return the median with the lowest and the highest value."""
    listed = list(values)
    return {"median": statistics.median(listed), "low": min(listed), "high": max(listed)}
