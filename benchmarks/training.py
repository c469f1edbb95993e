"""Training speed and peak memory, the same mathematics side by side with the peers."""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

from benchmarks.report import publish
from benchmarks.tables.training import TRAINING_NAMES
from benchmarks.turns import Record, call, in_turns, middle, parse
from groundup.config import GPTConfig, preset
from groundup.plan import training_flops_per_token

QUICK = {"vocab_size": 512, "context_length": 64, "emb_dim": 128, "n_heads": 2, "n_layers": 2}
SHAPE_KEYS = tuple(QUICK)
GPT2 = {key: getattr(preset("gpt2-124m"), key) for key in SHAPE_KEYS}
CHARACTERS = {"vocab_size": 65, "context_length": 256, "emb_dim": 384, "n_heads": 6, "n_layers": 6}
SMALL = {"vocab_size": 65, "context_length": 64, "emb_dim": 128, "n_heads": 4, "n_layers": 4}

EAGER = ("plain", "nanogpt")
"""What the small models are held against."""


@dataclass(frozen=True)
class Case:
    """A model and a batch; `steps` are timed in a turn, for each that --steps asks for."""

    title: str
    shape: dict[str, int]
    batch_size: int
    window: int
    contestants: tuple[str, ...]
    steps: float = 1


CASES = {
    "124m": Case("gpt2-124m, 4 × 256", GPT2, 4, 256, tuple(TRAINING_NAMES)),
    "124m-long": Case(
        "gpt2-124m, 1 × 1,024", GPT2, 1, 1024, ("ours", "plain", "transformers", "litgpt")
    ),
    "10m": Case("characters, 10M, 64 × 256", CHARACTERS, 64, 256, ("ours", *EAGER), 0.5),
    "small": Case("characters, 0.8M, 12 × 64", SMALL, 12, 64, ("ours", *EAGER), 40),
}


def measure(options: argparse.Namespace) -> Record:
    """Let everyone who is present train in turns; return all figures and their summary."""
    absent = missing(options)
    yardstick = {"seconds": 0.2 if options.quick else 1.5}
    turns = {"ceilings": partial(turn, "ceilings", yardstick, options)}
    jobs = {}
    for name, case in CASES.items():
        for contestant in case.contestants:
            if contestant not in absent:
                jobs[f"{name}/{contestant}"] = job = job_of(case, contestant, options)
                turns[f"{name}/{contestant}"] = partial(turn, "contestants", job, options)
    records = in_turns(turns, options.rounds)
    measured = records.pop("ceilings")
    keys = ("gemm_flops", "bf16_flops", "bandwidth")
    ceilings = {key: max(r[key] for r in measured) for key in keys}
    return {
        "setting": {"threads": options.threads, "rounds": options.rounds},
        "machine": measured[0]["machine"],
        "load_average": measured[0]["load_average"],
        "ceilings": ceilings,
        "ceiling_turns": measured,
        "missing": absent,
        "jobs": {name: without_paths(job) for name, job in jobs.items()},
        "contestants": records,
        "summary": {
            name: summarise(case, jobs, records, name, measured) for name, case in CASES.items()
        },
    }


def job_of(case: Case, contestant: str, options: argparse.Namespace) -> dict[str, Any]:
    small = options.quick
    timed = 2 if small else max(1, round(options.steps * case.steps))
    return {
        "contestant": contestant,
        "shape": QUICK if small else case.shape,
        "batch_size": min(4, case.batch_size) if small else case.batch_size,
        "window": 32 if small else case.window,
        "steps": 1 + timed,  # the first one warms up
        "nanogpt": str(options.nanogpt or ""),
        "python": str(options.litgpt or "") if contestant == "litgpt" else "",
    }


def without_paths(job: dict[str, Any]) -> dict[str, Any]:
    """Return what a job says of the work, without where this machine keeps the peers."""
    return {key: value for key, value in job.items() if key not in ("nanogpt", "python")}


def missing(options: argparse.Namespace) -> dict[str, str]:
    """Return which peers cannot run, and why."""
    reasons = {
        name: f"{name.replace('_', '-')} is not installed"
        for name in ("transformers", "llms_from_scratch")
        if find_spec(name) is None
    }
    if options.nanogpt is None:
        reasons["nanogpt"] = "not measured: no --nanogpt PATH was given"
    if options.litgpt is None:
        reasons["litgpt"] = "not measured: no --litgpt PYTHON was given"
    return reasons


def turn(module: str, job: dict[str, Any], options: argparse.Namespace, number: int) -> Record:
    return call(f"benchmarks.{module}", job, options.threads, job.get("python") or None)


def summarise(
    case: Case,
    jobs: dict[str, dict[str, Any]],
    records: dict[str, list[Record]],
    name: str,
    ceilings: list[Record],
) -> dict[str, Record]:
    """Return each contestant's speed and memory, and ours as a ratio of theirs, turn by turn.

    A turn's rate of arithmetic is held against the best product of its own round.
    """
    of_case = {key: turns for key, turns in records.items() if key.partition("/")[0] == name}
    speeds, memories, summary = {}, {}, {}
    for key, turns in of_case.items():
        tokens = jobs[key]["batch_size"] * jobs[key]["window"]
        speeds[key] = [tokens / statistics.median(t["step_seconds"]) for t in turns]
        memories[key] = [t["peak_memory_mib"] for t in turns]
    for key, turns in of_case.items():
        job, contestant = jobs[key], key.partition("/")[2]
        config = GPTConfig(**job["shape"], qkv_bias=True, tie_embeddings=True)
        flops = training_flops_per_token(config, job["window"])
        peak = "bf16_flops" if turns[0]["precision"] == "bf16" else "gemm_flops"
        fractions = [s * flops / c[peak] for s, c in zip(speeds[key], ceilings, strict=True)]
        base = f"{name}/{contestant if contestant.startswith('ours') else 'ours'}"
        summary[contestant] = {
            "parameters": turns[0]["parameters"],
            "precision": turns[0]["precision"],
            "tokens_per_second": middle(speeds[key]),
            "fraction_of_peak": middle(fractions),
            "peak_memory_mib": middle(memories[key]),
            "our_speed_ratio": ratio(speeds[base], speeds[key]),
            "our_memory_ratio": ratio(memories[base], memories[key]),
        }
    return summary


def ratio(ours: list[float], theirs: list[float]) -> Record:
    return middle(a / b for a, b in zip(ours, theirs, strict=True))


if __name__ == "__main__":
    options = parse()
    publish("training", measure(options), options)
