"""Training speed and peak memory, the same mathematics side by side with the peers.

    python -m benchmarks.training --nanogpt DIR                        # in `make bench`: 10 minutes
    python -m benchmarks.training --long --work DIR --nanogpt DIR      # 10M at 1,024: 8 minutes
    python -m benchmarks.training --large --work DIR --nanogpt DIR     # all peers: 80 minutes

`--large` has every peer at the size of gpt2-124m, also at a context of 1,024. With `--work` turns
are kept as they come, and the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.report import publish, state_of_code
from benchmarks.turns import Record, call, in_turns, load_of, middle, parse
from groundup.config import GPTConfig, preset
from groundup.plan import training_flops_per_token

WARM_UP = 3
QUICK = {"vocab_size": 512, "context_length": 64, "emb_dim": 128, "n_heads": 2, "n_layers": 2}
SHAPE_KEYS = tuple(QUICK)
GPT2 = {key: getattr(preset("gpt2-124m"), key) for key in SHAPE_KEYS}
CHARACTERS = {"vocab_size": 65, "context_length": 256, "emb_dim": 384, "n_heads": 6, "n_layers": 6}
SMALL = {"vocab_size": 65, "context_length": 64, "emb_dim": 128, "n_heads": 4, "n_layers": 4}

OURS = ("ours", "ours-bf16")
HELPS: dict[str, Record] = {
    "": {"fused": False, "keeps": False, "precision": "fp32"},
    "fused": {"fused": True, "keeps": False, "precision": "fp32"},
    "kept": {"fused": True, "keeps": True, "precision": "fp32"},
    "bf16": {"fused": True, "keeps": True, "precision": "bf16"},
}
"""What a contestant is given, by what stands behind its name; each has all that is before it."""
NANOGPT = ("nanogpt", "nanogpt-fused", "nanogpt-kept", "nanogpt-bf16")
"""As it is published, and what each help brings."""


def helped(*names: str) -> tuple[str, ...]:
    """Return peers with every help, in fp32 and in bf16."""
    return tuple(f"{name}-{form}" for name in names for form in ("kept", "bf16"))


@dataclass(frozen=True)
class Case:
    """A model and a batch; `steps` are timed in a turn, for each that --steps asks for."""

    title: str
    shape: dict[str, int]
    batch_size: int
    window: int
    contestants: tuple[str, ...]
    steps: int = 1
    rounds: int = 3
    """At most."""


EVERYBODY = (*OURS, *NANOGPT, *helped("plain", "transformers", "litgpt"), "llms_from_scratch-kept")
BRIEF = {
    "124m": Case("gpt2-124m, 4 × 256", GPT2, 4, 256, (*OURS, *helped("nanogpt")), rounds=1),
    "10m": Case(
        "10M, 8 × 256", CHARACTERS, 8, 256, (*OURS, *NANOGPT, *helped("plain")), rounds=2
    ),
    "small": Case(
        "0.8M, 12 × 64", SMALL, 12, 64, (*OURS, *NANOGPT, *helped("plain")), steps=12, rounds=2
    ),
}  # fmt: skip
"""What fits into `make bench`."""
LARGE = {
    "124m": Case("gpt2-124m, 4 × 256", GPT2, 4, 256, EVERYBODY),
    "124m-long": Case(
        "gpt2-124m, 1 × 1,024", GPT2, 1, 1024, (*OURS, *helped("nanogpt", "transformers", "litgpt"))
    ),
}  # fmt: skip
LONG = {
    "10m-long": Case(
        "10M, 4 × 1,024, longer runs", CHARACTERS | {"context_length": 1024}, 4, 1024,
        (*OURS, *helped("nanogpt")), steps=4,
    ),
}  # fmt: skip


def measure(options: argparse.Namespace, cases: dict[str, Case] = BRIEF) -> Record:
    """Let everyone who is present train in turns, case after case; return all and a summary."""
    yardstick = {"seconds": 0.2 if options.quick else 1.5}
    limits = partial(turn, "ceilings", yardstick, options)
    first = limits(0)
    absent = missing(options, {who for case in cases.values() for who in case.contestants}, first)
    jobs: dict[str, Record] = {}
    records: dict[str, list[Record]] = {}
    measured: dict[str, list[Record]] = {}
    for name, case in cases.items():
        mine = {f"{name}/{who}": job_of(case, who, options) for who in present(case, absent)}
        turns = {key: partial(turn, "contestants", job, options) for key, job in mine.items()}
        rounds = min(options.rounds, case.rounds)
        taken = in_turns({"ceilings": limits} | turns, rounds, kept_in(options, name))
        measured[name] = taken.pop("ceilings")
        jobs |= mine
        records |= taken
    keys = ("gemm_flops", "bf16_flops", "bandwidth")
    ceilings = [first, *(record for records in measured.values() for record in records)]
    return {
        "setting": {"threads": options.threads, "rounds": options.rounds, "warm_up": WARM_UP},
        "machine": first["machine"],
        "load_average": first["load_average"],
        "load": load_of(measured, records),
        "ceilings": {key: max(r[key] for r in ceilings) for key in keys},
        "ceiling_turns": measured,
        "missing": absent,
        "jobs": {name: without_paths(job) for name, job in jobs.items()},
        "contestants": records,
        "summary": {name: summarise(jobs, records, name, measured[name]) for name in cases},
    }


def present(case: Case, absent: dict[str, str]) -> list[str]:
    """Return who takes turns; where nanoGPT is not there, the plain GPT-2 stands in for it."""
    stand_in = "plain" if "nanogpt" in absent else "nanogpt"
    names = dict.fromkeys(who.replace("nanogpt", stand_in) for who in case.contestants)
    return [who for who in names if not {who, who.partition("-")[0]} & absent.keys()]


def kept_in(options: argparse.Namespace, case: str) -> Path | None:
    """Return where turns of this state of the code and these settings are kept, if anywhere."""
    if options.work is None or options.quick or (state := state_of_code()).endswith("-dirty"):
        return None
    found: Path = options.work / state / f"{options.threads}-threads-{options.steps}-steps" / case
    return found


def job_of(case: Case, contestant: str, options: argparse.Namespace) -> dict[str, Any]:
    small = options.quick
    timed = 2 if small else max(1, options.steps * case.steps)
    who, _, form = contestant.partition("-")
    return {
        "contestant": who,
        **HELPS[form],
        "shape": QUICK if small else case.shape,
        "batch_size": min(4, case.batch_size) if small else case.batch_size,
        "window": 32 if small else case.window,
        "warm_up": WARM_UP,
        "steps": WARM_UP + timed,
        "nanogpt": str(options.nanogpt or ""),
        "python": str(options.litgpt or "") if who == "litgpt" else "",
    }


def without_paths(job: dict[str, Any]) -> dict[str, Any]:
    """Return what a job says of the work, without where this machine keeps the peers."""
    return {key: value for key, value in job.items() if key not in ("nanogpt", "python")}


def missing(options: argparse.Namespace, asked: set[str], ceilings: Record) -> dict[str, str]:
    """Return which peers, or all in bf16, cannot run, and why."""
    reasons = {
        name: f"{name.replace('_', '-')} is not installed"
        for name in ("transformers", "llms_from_scratch")
        if find_spec(name) is None
    }
    if options.nanogpt is None:
        reasons["nanogpt"] = "not measured: no --nanogpt PATH was given"
    if options.litgpt is None:
        reasons["litgpt"] = "not measured: no --litgpt PYTHON was given"
    peers = {who.partition("-")[0] for who in asked}
    reasons = {who: why for who, why in reasons.items() if who in peers}
    if ceilings["bf16_flops"] < ceilings["gemm_flops"]:
        slow = "not measured: this processor multiplies bf16 more slowly than fp32"
        reasons |= {who: slow for who in sorted(asked) if who.endswith("-bf16")}
    return reasons


def turn(module: str, job: dict[str, Any], options: argparse.Namespace, number: int) -> Record:
    return call(f"benchmarks.{module}", job, options.threads, job.get("python") or None)


def summarise(
    jobs: dict[str, dict[str, Any]],
    records: dict[str, list[Record]],
    name: str,
    ceilings: list[Record],
) -> dict[str, Record]:
    """Return each contestant's speed and memory, and ours as a ratio of theirs, turn by turn.

    Ours is that in the same precision. A turn's rate of arithmetic is held against the best product
    of its own round.
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
        is_bf16 = job["precision"] == "bf16"
        peak = "bf16_flops" if is_bf16 else "gemm_flops"
        fractions = [s * flops / c[peak] for s, c in zip(speeds[key], ceilings, strict=True)]
        base = f"{name}/{OURS[is_bf16]}"
        summary[contestant] = {
            "parameters": turns[0]["parameters"],
            "precision": job["precision"],
            "chooses": [t["chooses"] for t in turns if "chooses" in t],
            "tokens_per_second": middle(speeds[key]),
            "fraction_of_peak": middle(fractions),
            "peak_memory_mib": middle(memories[key]),
            "our_speed_ratio": ratio(speeds[base], speeds[key]),
            "our_memory_ratio": ratio(memories[base], memories[key]),
        }
    return summary


def ratio(ours: list[float], theirs: list[float]) -> Record:
    return middle(a / b for a, b in zip(ours, theirs, strict=True))


def main() -> None:
    options = parse(
        large="all peers at the size of gpt2-124m", long="longer runs at a long context"
    )
    if options.large:
        publish("training_large", measure(options, LARGE), options)
    elif options.long:
        publish("training_long", measure(options, LONG), options)
    else:
        publish("training", measure(options), options)


if __name__ == "__main__":
    main()
