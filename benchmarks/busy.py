"""A minute's training beside other programs: what it gets of its fair share, and when it ends.

`groundup train --minutes 1 --preset nano` alone, and beside 1, 2 and 6 busy processes that come at
some moment and stay, or go again. With two cores and n of them the fair share is 2 / (2 + n) of
what is learnt alone in the same time.

    python -m benchmarks.busy --work W [--text FILE] [--source CHECKOUT]

Orders take turns, so that all see one machine; `--source` measures another checkout in every other
turn. The processes share the session of the training, as the system weighs sessions, too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.report import publish
from benchmarks.turns import ROOT, Record, call

LOADS = (1, 2, 6)
MOMENTS = {"from the start": (0.0, 1e9), "from second 22": (22.0, 1e9), "22 to 40": (22.0, 40.0)}
POLL = 0.05
SPIN = "while True: pass"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="a folder for runs and shards")
    parser.add_argument("--text", default="shakespeare", help="a named text, or a file")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--source", type=Path, help="another checkout, to measure in turns with us")
    parser.add_argument("--loads", type=int, nargs="*", default=LOADS)
    parser.add_argument("--moments", nargs="*", default=list(MOMENTS), choices=MOMENTS)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path, help="where results go [default: benchmarks/results]")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    publish("busy", measure(options), options)


def measure(options: argparse.Namespace) -> Record:
    """Give all orders, in turns; return what each got."""
    sources = {"ours": ROOT} | ({"before": options.source.resolve()} if options.source else {})
    cases = [(0, "alone"), *((n, when) for n in options.loads for when in options.moments)]
    facts = call("benchmarks.ceilings", {"seconds": 0.5}, os.cpu_count() or 1)
    runs: list[Record] = []
    for source in sources.values():  # shards and imports are there then
        order(options, source, 0, (0, 0), minutes=0.2)
    for _ in range(options.rounds):
        for n, when in cases:
            for name, source in sources.items():
                found = order(options, source, n, MOMENTS.get(when, (1e9, 1e9)))
                runs.append({"source": name, "n": n, "when": when, **found})
                print(json.dumps({k: v for k, v in runs[-1].items() if k != "learnt"}), flush=True)
    return {
        "machine": facts["machine"],
        "load_average": facts["load_average"],
        "ceilings": {key: facts[key] for key in ("gemm_flops", "bandwidth")},
        "minutes": options.minutes,
        "cells": cells(runs),
    }


def order(
    options: argparse.Namespace,
    source: Path,
    n: int,
    moment: tuple[float, float],
    minutes: float | None = None,
) -> Record:
    """Carry out one order beside `n` busy processes in a span of time; return how it went."""
    minutes = minutes or options.minutes
    runs = options.work / "runs"
    shutil.rmtree(runs, ignore_errors=True)
    words = ["train", options.text, "--preset", "nano", "--minutes", str(minutes), "--run", "busy"]
    environment = {**os.environ, "PYTHONPATH": str(source / "src"), "PYTHONSAFEPATH": "1"}
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "groundup", *words, "--runs", str(runs)],
        cwd=options.work, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    learnt = [(0.0, 0)]
    with contextlib.ExitStack() as load:
        is_loaded = False
        while process.poll() is None:
            now = time.monotonic() - begun
            if not is_loaded and moment[0] <= now < moment[1]:
                load.enter_context(busy(n))
            elif is_loaded and now >= moment[1]:
                load.close()
            is_loaded = moment[0] <= now < moment[1]
            if (tokens := tokens_learnt(runs / "busy/metrics.jsonl")) != learnt[-1][1]:
                learnt.append((now, tokens))
            time.sleep(POLL)
    seconds = time.monotonic() - begun
    if process.returncode:
        raise SystemExit(f"{words}: {process.stderr and process.stderr.read().decode()}")
    span = max(moment[0], learnt[1][0]) if n else learnt[1][0], min(moment[1], learnt[-1][0])
    begin, end = (span[0], learnt[-1][0]) if not n else span
    at = [max(tokens for when, tokens in learnt if when <= second) for second in (begin, end)]
    last = json.loads((runs / "busy/metrics.jsonl").read_text().splitlines()[-1])
    return {
        "seconds": round(seconds, 2),
        "tokens": learnt[-1][1],
        "speed": round((at[1] - at[0]) / (end - begin), 1),
        "bits_per_byte": round(last["val_bits_per_byte"], 4),
        "rate_at_end": final_rate(runs / "busy/metrics.jsonl"),
    }


@contextlib.contextmanager
def busy(n: int) -> Iterator[None]:
    """Keep `n` processes busy."""
    others = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(n)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def tokens_learnt(metrics: Path) -> int:
    """Return how many tokens a run has learnt from so far."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = metrics.read_text().splitlines()
        return int(json.loads(lines[-1]).get("tokens", 0))
    return 0


def final_rate(metrics: Path) -> float:
    """Return the learning rate of the last step, in parts of the largest."""
    rates = [json.loads(line).get("lr") for line in metrics.read_text().splitlines()]
    known = [rate for rate in rates if rate is not None]
    return round(known[-1] / max(known), 3)


def cells(runs: list[Record]) -> list[Record]:
    """Return for each case the medians, and what part of the fair share was reached."""
    found: dict[tuple[Any, ...], list[Record]] = {}
    for run in runs:
        found.setdefault((run["source"], run["n"], run["when"]), []).append(run)
    alone = {
        source: statistics.median(run["speed"] for run in found[source, 0, "alone"])
        for source, n, _ in found if n == 0
    }  # fmt: skip
    rows = []
    for (source, n, when), some in found.items():
        row: Record = {"source": source, "n": n, "when": when}
        for name in ("seconds", "tokens", "speed", "bits_per_byte", "rate_at_end"):
            row[name] = statistics.median(run[name] for run in some)
        row["share"] = round(row["speed"] / (alone["ours"] * 2 / (2 + n)), 3)
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
