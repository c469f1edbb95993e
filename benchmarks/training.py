"""Tokens per second and peak memory of training gpt2-124m, side by side with the peers."""

from __future__ import annotations

import argparse
import statistics
from functools import partial
from importlib.util import find_spec
from typing import Any

from benchmarks.report import TRAINING_NAMES, publish
from benchmarks.turns import Record, call, in_turns, middle, parse
from groundup.config import preset
from groundup.plan import training_flops_per_token

PRESET, BATCH_SIZE, WINDOW = "gpt2-124m", 4, 256
QUICK = {"vocab_size": 512, "context_length": 64, "emb_dim": 64, "n_heads": 2, "n_layers": 2}
SHAPE_KEYS = tuple(QUICK)

ADAMW_BYTES = 28
"""Least memory traffic of AdamW a parameter: 4 fp32 numbers read, 3 written."""
STATE_BYTES = 16
"""Least memory a parameter: itself, its gradient and AdamW's two moments, in fp32."""


def measure(options: argparse.Namespace) -> Record:
    """Let everyone who is present train in turns; return all figures and their summary."""
    config = preset(PRESET, **(QUICK if options.quick else {}))
    window = 32 if options.quick else WINDOW
    job = {
        "shape": {key: getattr(config, key) for key in SHAPE_KEYS},
        "batch_size": BATCH_SIZE,
        "window": window,
        "steps": options.steps + 1,  # the first one warms up
        "nanogpt": options.nanogpt is not None,
    }
    absent = missing(options)
    yardstick = {"seconds": 0.2 if options.quick else 3}
    turns = {"ceilings": partial(turn, "ceilings", yardstick, options.threads)} | {
        name: partial(turn, "contestants", job | {"contestant": name}, options.threads)
        for name in TRAINING_NAMES
        if name not in absent
    }
    records = in_turns(turns, options.rounds)
    measured = records.pop("ceilings")
    ceilings = {key: max(r[key] for r in measured) for key in ("gemm_flops", "bandwidth")}
    tokens = BATCH_SIZE * window
    flops = training_flops_per_token(config, window)
    return {
        "setting": {"preset": PRESET, "threads": options.threads, "rounds": options.rounds, **job},
        "machine": measured[0]["machine"],
        "load_average": measured[0]["load_average"],
        "ceilings": ceilings,
        "flops_per_token": flops,
        "missing": absent,
        "contestants": records,
        "summary": summarise(records, ceilings, tokens, flops),
    }


def missing(options: argparse.Namespace) -> dict[str, str]:
    """Return which peers cannot run, and why."""
    reasons = {
        name: f"{name.replace('_', '-')} is not installed"
        for name in ("transformers", "llms_from_scratch")
        if find_spec(name) is None
    }
    if options.nanogpt is None:
        reasons["nanogpt"] = "not measured: no --nanogpt PATH was given"
    return reasons


def turn(module: str, job: dict[str, Any], threads: int, number: int) -> Record:
    return call(f"benchmarks.{module}", job, threads)


def summarise(
    records: dict[str, list[Record]], ceilings: dict[str, float], tokens: int, flops: int
) -> dict[str, Record]:
    """Return each contestant's speed and memory, and ours as a ratio of theirs, turn by turn."""
    speeds = {
        name: [tokens / statistics.median(turn["step_seconds"]) for turn in turns]
        for name, turns in records.items()
    }
    memories = {name: [t["peak_memory_mib"] for t in turns] for name, turns in records.items()}
    summary = {}
    for name, turns in records.items():
        n_parameters = turns[0]["parameters"]
        limit = flops * tokens / ceilings["gemm_flops"]
        limit += ADAMW_BYTES * n_parameters / ceilings["bandwidth"]
        speed = middle(speeds[name])
        memory = middle(memories[name])
        summary[name] = {
            "parameters": n_parameters,
            "tokens_per_second": speed,
            "peak_memory_mib": memory,
            "fraction_of_limit": speed["median"] * limit / tokens,
            "memory_over_state": memory["median"] / (STATE_BYTES * n_parameters / 2**20),
            "our_speed_ratio": middle(
                a / b for a, b in zip(speeds["ours"], speeds[name], strict=True)
            ),
            "our_memory_ratio": middle(
                a / b for a, b in zip(memories["ours"], memories[name], strict=True)
            ),
        }
    return summary


if __name__ == "__main__":
    options = parse()
    publish("training", measure(options), options)
