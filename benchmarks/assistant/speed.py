"""Training an assistant beside trl, transformers and peft: speed, peak memory, the same losses.

All begin with the same weights and adapters, and a step learns from the same dialogues with the
same optimizer. Ours packs them into rows; theirs has one a row, padded on the right, as trl does it
(its packing needs flash attention to keep dialogues apart, which CPUs do not have). The dialogues
of a step are of about the same length, so that padding is least; in one case they are as ours packs
them by itself, long and short ones, as trl has them unless told otherwise. The peer has sdpa, fused
AdamW, no attention mask, which right padding does not need, and no checkpointing of activations. It
has two losses: that of transformers, all logits at once, and, where trl is there, trl's own, in
tiles that are computed once more on the way back, and on a CPU of all places, too.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from benchmarks.assistant import GROUP, talks
from benchmarks.beside import turns
from benchmarks.beside.turns import Suite
from benchmarks.cells import Cells, cells_of
from benchmarks.classifier import data
from benchmarks.turns import Record

OURS, PEER = "benchmarks.assistant.speed_ours", "benchmarks.assistant.speed_peer"
CONTESTANTS: dict[str, tuple[str, Record]] = {
    "ours": (OURS, {"precision": "fp32"}),
    "peer": (PEER, {"precision": "fp32", "loss": "transformers"}),
    "peer_trl": (PEER, {"precision": "fp32", "loss": "trl"}),
    "ours_chosen": (OURS, {"precision": "auto"}),
    "peer_bf16": (PEER, {"precision": "bf16", "loss": "transformers"}),
}
"""Programs, in which precision they compute, and by which loss."""
CASES: dict[str, Record] = {
    "full": {"title": "all weights, 4 rows", "method": "full", "batch": 4, "sets": "alike"},
    "lora": {"title": "LoRA, 4 rows", "method": "lora", "batch": 4, "sets": "alike"},
    "lora-mixed": {
        "title": "LoRA, 4 rows, long and short", "method": "lora", "batch": 4, "sets": "mixed"
    },
    "lora-1": {"title": "LoRA, 1 dialogue", "method": "lora", "batch": 1, "sets": "one"},
}  # fmt: skip
"""`batch` rows of at most 512 tokens are a step of ours; `sets`: see `speed_start.sets_of`."""
SUITE = Suite(CASES, "benchmarks.assistant.speed_start", CONTESTANTS)


def measure(options: argparse.Namespace) -> Record:
    """Export the model for the peer, and let all train in turns."""
    base, work = data.smollm2(options.work), options.work
    return beside(
        options, cells_of(options, GROUP), talks.chitchat(work), base, turns.exported(work)
    )


def beside(
    options: argparse.Namespace, cells: Cells, records: Path, base: Path, peer: Path
) -> Record:
    """Let all train in turns, case after case; return all figures and their summary."""
    turns.refuse_without_peer(options.peer_python)
    trl, suite = turns.version("trl", options.peer_python), SUITE
    if trl is None:
        there = {who: what for who, what in CONTESTANTS.items() if who != "peer_trl"}
        suite = dataclasses.replace(suite, contestants=there)
    found = turns.beside(options, cells, suite, records, base, peer)
    found["setting"]["trl"] = trl
    return found
