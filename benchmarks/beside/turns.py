"""Ours and the peer's train in turns from one start: speed, peak memory, and whether losses agree.

Both have the same weights, adapters, batches and optimizer. The first steps, which have most tokens
of all, take their memory and are not timed.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from benchmarks.cells import Cells
from benchmarks.classifier import data
from benchmarks.turns import Record, call, mib, middle

UNTIMED = 2
"""Steps with most tokens, which come first."""
RANK, ALPHA = 16, 32
RATES = {"full": 5e-5, "lora": 5e-4}
PEERS = {"peer": "transformers and peft", "peer_trl": "with trl's loss"}
"""Contestants of theirs in fp32, where there are such, by their titles."""
PEER_BF16 = "peer_bf16"


@dataclass(frozen=True)
class Suite:
    """What is trained, and by whom."""

    cases: Mapping[str, Record]
    """What learns from what; each has a `title`."""
    start: str
    """The module that writes what all begin with, once a case."""
    contestants: Mapping[str, tuple[str, Record]]
    """Modules, and what of the job is their own: `ours`, `ours_chosen`, `peer_bf16`, `PEERS`."""


def exported(work: Path) -> Path:
    """Return SmolLM2 as transformers reads it, in fp32."""
    peer = work / "smollm2-hf"
    if not peer.exists():
        data.groundup(work, "export", "runs/smollm2", peer.name, "--format", "hf", "--dtype", "f32")
    return peer


def version(package: str, python: Path | None = None) -> str | None:
    """Return which version of a package there is, here or for another `python`, if any."""
    code = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    words = [python or sys.executable, "-c", code, package]
    done = subprocess.run(words, capture_output=True, text=True)
    return done.stdout.strip() or None


def refuse_without_peer(python: Path | None = None) -> None:
    """End where what the peer needs is not there."""
    if absent := [name for name in ("transformers", "peft") if version(name, python) is None]:
        raise SystemExit(f"not installed: {', '.join(absent)}; pip install transformers peft")


def beside(
    options: argparse.Namespace, cells: Cells, suite: Suite, records: Path, base: Path, peer: Path
) -> Record:
    """Let all train in turns, case after case; return all figures and their summary."""
    jobs, starts = {}, {}
    for name, case in suite.cases.items():
        jobs[name] = job = {
            **case,
            "name": f"{cells.folder}-{name}",
            "precision": "fp32",
            "steps": UNTIMED + options.steps,
            "threads": options.threads,
            "base": str(base.relative_to(cells.work)),
            "peer": str(peer.relative_to(cells.work)),
            "records": str(records.relative_to(cells.work)),
        }
        starts[name] = cells.of(f"speed-{name}-start", suite.start, job)
    turns: dict[str, dict[str, list[Record]]]
    turns = {name: {who: [] for who in suite.contestants} for name in suite.cases}
    of_peer = _of_peer(cells, getattr(options, "peer_python", None))
    for number in range(options.rounds):
        for name, job in jobs.items():
            for who, (module, own) in suite.contestants.items():
                whose = cells if who.startswith("ours") else of_peer
                turn = whose.of(
                    f"speed-{name}-{who}-{number + 1}", module, job | {"turn": number} | own
                )
                turns[name][who].append(turn)
    ceilings = call(
        "benchmarks.ceilings", {"seconds": 0.2 if options.quick else 1.5}, options.threads
    )
    return {
        "setting": {"threads": options.threads, "rounds": options.rounds, "steps": options.steps},
        "machine": ceilings["machine"],
        "load_average": ceilings["load_average"],
        "ceilings": ceilings,
        "rows": [
            case | summary(turns[name]) | {"start": starts[name]}
            for name, case in suite.cases.items()
        ],
    }


def _of_peer(cells: Cells, python: Path | None) -> Cells:
    """Return the cells of the peer, which may have an environment of its own."""
    return cells if python is None else dataclasses.replace(cells, run=partial(call, python=python))


def folder_of(job: Record) -> Path:
    """Return where a case's start lies."""
    return Path(job["work"]) / "speed" / job["name"]


def speed_of(ticks: list[float], losses: list[float], tokens: list[int]) -> Record:
    """Return the figures of a turn; `tokens` are without padding."""
    seconds = [after - before for before, after in pairwise(ticks[UNTIMED - 1 :])]
    return {
        "tokens_per_second": sum(tokens[UNTIMED:]) / sum(seconds),
        "step_seconds": seconds,
        "losses": losses,
        "peak_memory_mib": mib(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss),
    }


def summary(turns: Mapping[str, list[Record]]) -> Record:
    """Return speed and memory of all, ours over theirs turn by turn, and how losses differ.

    Theirs is, in each turn, the fastest, and the one that takes least memory: of those in fp32,
    and of all where ours chose its precision.
    """
    ours, peers = turns["ours"], [who for who in PEERS if who in turns]
    speed = {who: [one["tokens_per_second"] for one in turns[who]] for who in turns}
    memory = {who: [one["peak_memory_mib"] for one in turns[who]] for who in turns}
    fastest, fastest_of_all, least = (
        [best(each) for each in zip(*(values[who] for who in some), strict=True)]
        for best, values, some in (
            (max, speed, peers), (max, speed, [*peers, PEER_BF16]), (min, memory, peers)
        )
    )  # fmt: skip
    pairs = [
        pair
        for who in peers
        for pair in zip(ours[0]["losses"], turns[who][0]["losses"], strict=True)
    ]
    return {
        "tokens_per_second": {who: middle(values) for who, values in speed.items()},
        "peak_memory_mib": {who: middle(values) for who, values in memory.items()},
        "speed_ratio": _ratio(speed["ours"], fastest),
        "chosen": [one["choices"]["precision"] for one in turns["ours_chosen"]],
        "chosen_ratio": _ratio(speed["ours_chosen"], fastest_of_all),
        "memory_ratio": _ratio(memory["ours"], least),
        "loss_difference": max(abs(a - b) / max(abs(b), 1e-6) for a, b in pairs),
        "planned_mib": ours[0]["planned_mib"],
        "padding": ours[0]["padding"],
        "turns": dict(turns),
    }


def _ratio(ours: list[float], theirs: list[float]) -> Record:
    return middle(a / b for a, b in zip(ours, theirs, strict=True))
