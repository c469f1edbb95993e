"""Results to JSON, and from there to the tables of docs/performance.md."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from pathlib import Path

from benchmarks.tables import TABLES
from benchmarks.turns import ROOT, Record

RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def publish(name: str, result: Record | None, options: argparse.Namespace) -> None:
    """Write a result as JSON; print its table, and put it on the page unless it was a trial."""
    if result is None:
        return
    path = store(name, result, options)
    print(f"{path}\n\n{TABLES[name.partition('-')[0]](result)}\n", flush=True)
    if path.parent == RESULTS:
        update_page()


def store(name: str, result: Record, options: argparse.Namespace) -> Path:
    """Write a result as JSON; return where."""
    folder: Path = options.out or RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(stamped(result), indent=2) + "\n", encoding="utf-8")
    return path


def stamped(result: Record) -> Record:
    commit = ""
    if shutil.which("git"):
        git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
        commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    return {"commit": commit or "unknown", **result}


def update_page() -> None:
    """Replace what stands between the marks of docs/performance.md by the tables of all results."""
    parts = []
    for name, table in TABLES.items():
        # Of some there is one a device, with its name behind a hyphen.
        for path in sorted([*RESULTS.glob(f"{name}.json"), *RESULTS.glob(f"{name}-*.json")]):
            parts.append(table(json.loads(path.read_text(encoding="utf-8"))))
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    body = "\n\n".join(parts)
    PAGE.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    update_page()
