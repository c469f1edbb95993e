"""Many faults, counted over several calls: which seeds were tried, and what became of each.

A campaign has a goal; a call of `make test-long SCALE=0.1` tries a tenth of it, with the seeds that
come next, and one after the goal is reached goes on with new ones. The ledger is a file of JSON
lines: $GROUNDUP_FAULTS, else .faults.jsonl in the repository. `python -m tests.faults.campaign`
writes the table of docs/faults.md from it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.scale import scaled

ROOT = Path(__file__).parents[2]
LEDGER = Path(os.environ.get("GROUNDUP_FAULTS", ROOT / ".faults.jsonl"))
PAGE = ROOT / "docs" / "faults.md"
BEGIN, END = "<!-- counted: begin -->", "<!-- counted: end -->"
GOALS = {
    "kills: one process": (70, "a process killed at a random moment, started again"),
    "kills: two processes, DDP": (70, "one of two processes, or both, killed at a random moment"),
    "kills: two processes, FSDP2": (60, "the same, with every parameter spread over both"),
    "kills: torchrun, FSDP2": (40, "the same, as torchrun starts them, which may be killed, too"),
    "kills: with --minutes": (40, "beside a run that takes the decisions of the killed one"),
    "kills while saving": (200, "killed between two operations on files, or at a random moment"),
    "disk full while saving": (50, "no room after a random number of bytes"),
    "signals": (57, "SIGTERM, SIGINT or SIGUSR1 in a phase, to any one process"),
    "damaged checkpoints": (700, "a byte flipped or a file cut at a random place"),
    "damaged token shards": (300, "the same in token shards"),
    "mutated commands": (10_000, "words changed, files damaged, operations refused, all verbs"),
}
"""Faults to be tried of each kind, and what they are."""


@dataclass(frozen=True)
class Campaign:
    """The faults of one kind."""

    name: str

    @property
    def goal(self) -> int:
        """How many faults there are to be."""
        return GOALS[self.name][0]

    def seeds(self, at_once: int = 1) -> Iterator[int]:
        """Yield the seeds of this call: whole groups of `at_once` that follow on those tried."""
        tried = sum(record["faults"] for record in ledger() if record["campaign"] == self.name)
        groups = scaled(self.goal / at_once)
        begun = tried // at_once
        yield from range(begun, begun + groups)

    def record(self, seed: int, faults: int, outcome: str) -> None:
        """Write down what became of a seed."""
        line = {"campaign": self.name, "seed": seed, "faults": faults, "outcome": outcome}
        with LEDGER.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def ledger() -> list[dict[str, Any]]:
    """Return all that was written down."""
    if not LEDGER.exists():
        return []
    return [json.loads(line) for line in LEDGER.read_text(encoding="utf-8").splitlines()]


def table() -> str:
    """Return a row for each campaign."""
    rows = ["| fault | goal | tried | as it should be | seeds |", "|---|---|---|---|---|"]
    for name, (goal, what) in GOALS.items():
        records = [record for record in ledger() if record["campaign"] == name]
        tried = Counter[str]()
        for record in records:
            tried["all"] += record["faults"]
            tried["good"] += record["faults"] * (record["outcome"] == "ok")
        seeds = [record["seed"] for record in records]
        span = f"{min(seeds)} to {max(seeds)}" if seeds else ""
        rows.append(f"| {name}: {what} | {goal} | {tried['all']} | {tried['good']} | {span} |")
    return "\n".join(rows)


def main() -> None:
    """Put the table on the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}", encoding="utf-8")
    print(table())


if __name__ == "__main__":
    main()
