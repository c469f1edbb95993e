"""What a window and a soft cap cost as the context grows: a step's time, and memory as planned.

    python -m benchmarks.long_context [--beside CHECKOUT] [--rounds 3] [--threads 1] [--quick]

Forward and backward of one text, as in training, in processes that take turns; `--beside` is
another state of this repository that takes its turns, too. It says in how much memory by the peak
that the system reports, over that of the same process before its first step.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.report import publish
from benchmarks.turns import (
    ROOT,
    Record,
    call,
    environment,
    in_turns,
    load_of,
    middle,
    take_any_load,
)

SHAPE = {"vocab_size": 1000, "emb_dim": 128, "n_heads": 2, "n_layers": 2}
KINDS: dict[str, dict[str, Any]] = {
    "full attention": {},
    "window 128": {"window": 128},
    "window 1,024": {"window": 1024},
    "soft cap": {"attention_softcap": 50.0},
}
LENGTHS = (1024, 2048, 4096, 8192)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_context", description=__doc__)
    parser.add_argument("--beside", type=Path, help="another checkout, measured in turns")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: checks that it all runs")
    parser.add_argument("--out", type=Path, help="where results go [default: benchmarks/results]")
    options = parser.parse_args()
    if options.quick:
        take_any_load()
        options.out = options.out or Path(tempfile.mkdtemp(prefix="groundup-bench-"))
    publish("long_context", measure(options), options)


def measure(options: argparse.Namespace) -> Record:
    """Return every turn's figures, and their medians."""
    ceilings = call("benchmarks.ceilings", {"seconds": 0.2}, options.threads)
    states = {"": ROOT} | ({"before: ": options.beside.resolve()} if options.beside else {})
    lengths = (192, 384) if options.quick else LENGTHS
    jobs = {
        f"{state}{kind} at {length}": partial(turn, path, length, KINDS[kind], options.threads)
        for length, kind, (state, path) in itertools.product(lengths, KINDS, states.items())
    }
    turns = in_turns(jobs, 1 if options.quick else options.rounds)
    return {
        "setting": {"threads": options.threads, "rounds": options.rounds, "lengths": lengths},
        "shape": SHAPE,
        "machine": ceilings["machine"],
        "load_average": ceilings["load_average"],
        "load": load_of(turns),
        "ceilings": {key: ceilings[key] for key in ("gemm_flops", "bandwidth")},
        "turns": turns,
        "summary": {name: summary(records) for name, records in turns.items()},
    }


def summary(records: list[Record]) -> Record:
    """Return the median of all steps, of the peaks, and what was planned beside."""
    return {
        "ms": middle(itertools.chain.from_iterable(r["ms"] for r in records)),
        "mib": statistics.median(r["peak"] - r["before"] for r in records),
        "of_plan": statistics.median(r["peak"] / (r["before"] + r["planned"]) for r in records),
    }


def turn(checkout: Path, length: int, kind: dict[str, Any], threads: int, number: int) -> Record:
    """Measure in a process of its own, by the source of `checkout`."""
    job = json.dumps(SHAPE | kind | {"context_length": length})
    path = os.pathsep.join([str(checkout / "src"), str(ROOT)])
    # Freed memory is given back at once, so that the peak is what was held.
    own = environment(threads) | {"PYTHONPATH": path, "MALLOC_MMAP_THRESHOLD_": str(1 << 18)}
    command = [sys.executable, "-m", "benchmarks.long_context", job]
    done = subprocess.run(command, env=own, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{job}:\n{done.stderr}")
    record: Record = json.loads(done.stdout)
    return record


def steps(shape: dict[str, Any]) -> Record:
    """Take a first step and two timed ones; return their milliseconds and MiB."""
    import torch

    from groundup import GPT, GPTConfig
    from groundup.config import TrainConfig
    from groundup.device.machine import peak_memory_mib
    from groundup.optim.step import TrainStep
    from groundup.plan import training_memory
    from groundup.plan.memory import PROCESS

    torch.manual_seed(1)
    config, cpu = GPTConfig(**shape), torch.device("cpu")
    step = TrainStep(GPT(config), "fused")
    tokens = torch.randint(config.vocab_size, (1, config.context_length))
    before, taken = peak_memory_mib(cpu), []
    for _ in range(3):
        begun = time.perf_counter()
        loss, n_targets = step(tokens, tokens)
        (loss / n_targets).backward()
        taken.append(1000 * (time.perf_counter() - begun))
        step.zero_grad()
    memory = training_memory(config, TrainConfig(batch_size=1, optimizer="adamw"))
    there = PROCESS + memory.terms["weights"] + memory.terms["optimizer"]
    planned = (memory.total - there) / 2**20
    return {"ms": taken[1:], "before": before, "peak": peak_memory_mib(cpu), "planned": planned}


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("{"):
        print(json.dumps(steps(json.loads(sys.argv[1]))))
    else:
        main()
