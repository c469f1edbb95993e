"""Training a classifier beside transformers with peft: speed, peak memory, the same losses.

Both start from the same weights, head and adapters, and read the same batches, sorted by length by
us, with the same optimizer. All is measured in fp32, and once more in the precision that ours
chooses by itself, beside the faster of the peer's two. The peer is given no attention mask, which
right padding does not need, no checkpointing of activations, and fused AdamW. The first steps,
which have the longest texts of all, take their memory and are not timed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.beside import turns
from benchmarks.beside.turns import Suite
from benchmarks.cells import Cells, cells_of
from benchmarks.classifier import data
from benchmarks.turns import Record

OURS, PEER = "benchmarks.classifier.speed_ours", "benchmarks.classifier.speed_peer"
CONTESTANTS: dict[str, tuple[str, Record]] = {
    "ours": (OURS, {"precision": "fp32"}),
    "peer": (PEER, {"precision": "fp32"}),
    "ours_chosen": (OURS, {"precision": "auto"}),
    "peer_bf16": (PEER, {"precision": "bf16"}),
}
"""Programs, and in which precision they compute."""
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
SUITE = Suite(CASES, "benchmarks.classifier.speed_start", CONTESTANTS)


def measure(options: argparse.Namespace) -> Record:
    """Export the model for the peer, and let both train in turns."""
    base, work = data.smollm2(options.work), options.work
    return beside(options, cells_of(options), data.sms(work), base, turns.exported(work))


def beside(
    options: argparse.Namespace, cells: Cells, records: Path, base: Path, peer: Path
) -> Record:
    """Let both train in turns, case after case; return all figures and their summary."""
    turns.refuse_without_peer()
    return turns.beside(options, cells, SUITE, records, base, peer)
