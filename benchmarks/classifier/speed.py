"""Training a classifier beside transformers with peft: speed, peak memory, the same losses.

Both start from the same weights, head and adapters, and read the same batches, sorted by length by
us, with the same optimizer. All is measured in fp32, and once more in the precision that ours
chooses by itself, beside the faster of the peer's two. The peer is given no attention mask, which
right padding does not need, no checkpointing of activations, and fused AdamW. The first steps,
which have the longest texts of all, take their memory and are not timed.
"""

from __future__ import annotations

import argparse
import resource
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from benchmarks.classifier import data
from benchmarks.classifier.cells import Cells, cells_of
from benchmarks.turns import Record, call, mib, middle

START = "benchmarks.classifier.speed_start"
OURS, PEER = "benchmarks.classifier.speed_ours", "benchmarks.classifier.speed_peer"
CONTESTANTS = {
    "ours": (OURS, "fp32"),
    "peer": (PEER, "fp32"),
    "ours_chosen": (OURS, "auto"),
    "peer_bf16": (PEER, "bf16"),
}
"""Programs, and in which precision they compute."""
UNTIMED = 2
"""Steps with the longest texts: see `Order`."""
CASES: dict[str, Record] = {
    "full": {
        "title": "all weights, 16 messages", "method": "full", "batch": 16, "joined": 1, "most": 128
    },
    "lora": {
        "title": "LoRA, 16 messages", "method": "lora", "batch": 16, "joined": 1, "most": 128
    },
    "lora-256": {
        "title": "LoRA, 1 × 256 tokens", "method": "lora", "batch": 1, "joined": 20, "most": 256,
    },
}  # fmt: skip
"""`joined` messages make a text, of which at most `most` tokens are read."""
RANK, ALPHA = 16, 32
RATES = {"full": 5e-5, "lora": 5e-4}


def measure(options: argparse.Namespace) -> Record:
    """Export the model for the peer, and let both train in turns."""
    base, work = data.smollm2(options.work), options.work
    peer = work / "smollm2-hf"
    if not peer.exists():
        data.groundup(work, "export", "runs/smollm2", peer.name, "--format", "hf", "--dtype", "f32")
    return beside(options, cells_of(options), data.sms(work), base, peer)


def beside(
    options: argparse.Namespace, cells: Cells, records: Path, base: Path, peer: Path
) -> Record:
    """Let both train in turns, case after case; return all figures and their summary."""
    absent = [name for name in ("transformers", "peft") if find_spec(name) is None]
    if absent:
        raise SystemExit(f"not installed: {', '.join(absent)}; pip install transformers peft")
    jobs = {}
    for name, case in CASES.items():
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
        cells.of(f"speed-{name}-start", START, job)
    turns: dict[str, dict[str, list[Record]]]
    turns = {name: {who: [] for who in CONTESTANTS} for name in CASES}
    for number in range(options.rounds):
        for name, job in jobs.items():
            for who, (module, precision) in CONTESTANTS.items():
                own = {"turn": number, "precision": precision}
                turn = cells.of(f"speed-{name}-{who}-{number + 1}", module, job | own)
                turns[name][who].append(turn)
    ceilings = call(
        "benchmarks.ceilings", {"seconds": 0.2 if options.quick else 1.5}, options.threads
    )
    return {
        "setting": {"threads": options.threads, "rounds": options.rounds, "steps": options.steps},
        "machine": ceilings["machine"],
        "load_average": ceilings["load_average"],
        "ceilings": ceilings,
        "rows": [CASES[name] | summary(turns[name]) for name in CASES],
    }


def speed_of(ticks: list[float], losses: list[float], tokens: list[int]) -> Record:
    """Return the figures of a turn; `tokens` are without padding."""
    seconds = [after - before for before, after in pairwise(ticks[UNTIMED - 1 :])]
    return {
        "tokens_per_second": sum(tokens[UNTIMED:]) / sum(seconds),
        "step_seconds": seconds,
        "losses": losses,
        "peak_memory_mib": mib(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss),
    }


def summary(turns: dict[str, list[Record]]) -> Record:
    """Return speed and memory of all, ours over theirs turn by turn, and how losses differ.

    Of the precisions that are chosen, the peer's is the faster one, in each turn.
    """
    ours, peer = turns["ours"], turns["peer"]
    speed = {who: [one["tokens_per_second"] for one in turns[who]] for who in turns}
    memory = {who: [one["peak_memory_mib"] for one in turns[who]] for who in turns}
    pairs = zip(ours[0]["losses"], peer[0]["losses"], strict=True)
    return {
        "tokens_per_second": {who: middle(values) for who, values in speed.items()},
        "peak_memory_mib": {who: middle(values) for who, values in memory.items()},
        "speed_ratio": middle(a / b for a, b in zip(speed["ours"], speed["peer"], strict=True)),
        "chosen": [one["choices"]["precision"] for one in turns["ours_chosen"]],
        "chosen_ratio": middle(
            a / max(b, c)
            for a, b, c in zip(speed["ours_chosen"], speed["peer"], speed["peer_bf16"], strict=True)
        ),
        "memory_ratio": middle(a / b for a, b in zip(memory["ours"], memory["peer"], strict=True)),
        "loss_difference": max(abs(a - b) / max(abs(b), 1e-6) for a, b in pairs),
        "planned_mib": ours[0]["planned_mib"],
        "padding": ours[0]["padding"],
        "turns": turns,
    }
