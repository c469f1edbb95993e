"""Results to JSON, a folder a machine, and from there to the tables of docs/performance.md."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.tables import TABLES
from benchmarks.turns import ROOT, Record
from groundup.base.hardware import cpu_model_line

RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def publish(name: str, result: Record | None, options: argparse.Namespace) -> None:
    """Write a result as JSON; print its table, and put it on the page unless it was a trial."""
    if result is None:
        return
    path = store(name, result, options)
    print(f"{path}\n\n{TABLES[name](result)}\n", flush=True)
    if path.parent.parent == RESULTS:
        update_page()


def store(name: str, result: Record, options: argparse.Namespace) -> Path:
    """Write a result as JSON; return where."""
    path: Path = (options.out or RESULTS) / machine_folder(result) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(stamped(result), indent=2) + "\n", encoding="utf-8")
    return path


def machine_folder(result: Record | None = None) -> str:
    """Return the name of a machine's folder: its card or its processor, and what that can do.

    By the result, or this machine's where the result does not tell.
    """
    result = result or {}
    facts = result.get("machine") or this_machine()
    words = result.get("device") or f"{facts['cpu']} {facts['instructions']}"
    return re.sub(r"\W+", "-", re.sub(r"\(\w+\)", "", words)).strip("-").lower()


def this_machine() -> Record:
    """Return what `groundup.device.machine` says of the processor, without torch."""
    cpu = cpu_model_line().rpartition(":")[2].strip()
    known = Path("/proc/cpuinfo")
    flags = known.read_text(errors="replace") if known.exists() else ""
    levels = {"AVX512": "avx512vl", "AVX2": "avx2"}
    found = [level for level, flag in levels.items() if re.search(rf"\b{flag}\b", flags)]
    return {"cpu": cpu, "instructions": (found or ["DEFAULT"])[0]}


def stamped(result: Record) -> Record:
    """Return a result with what made it: the state of the code, the day and the command."""
    made = {"commit": state_of_code(), "date": time.strftime("%Y-%m-%d"), "command": command()}
    return made | result


def state_of_code() -> str:
    """Return the last commit that changed what measures or is measured; "-dirty" where more did."""
    code = ["src", "benchmarks", ":!benchmarks/results", ":!benchmarks/*.md"]
    last = git("log", "-1", "--format=%h", "--", *code)
    return (last + "-dirty" * bool(git("status", "--porcelain", "--", *code))) or "unknown"


def git(*words: str) -> str:
    """Return what git says in this checkout, nothing where there is none."""
    if not shutil.which("git"):
        return ""
    done = subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True)
    return done.stdout.strip()


def command() -> str:
    """Return the command of this process as anyone would give it, paths by their options' names."""
    own = Path(sys.argv[0]).stem
    words = ["python", "-m", "benchmarks" if own == "__main__" else f"benchmarks.{own}"]
    for word in sys.argv[1:]:
        is_path = "/" in word and words[-1].startswith("--")
        words.append(words[-1].lstrip("-").upper() if is_path else word)
    return " ".join(words)


def update_page() -> None:
    """Replace what stands between the marks of docs/performance.md by the tables of all results."""
    parts = [part for name in TABLES for part in tables_of(name)]
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    body = "\n\n".join(parts)
    PAGE.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}", encoding="utf-8")


def tables_of(name: str) -> list[str]:
    """Return a table for each machine on which this was measured, under one heading."""
    parts: list[str] = []
    for path in sorted(RESULTS.glob(f"*/{name}.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        heading, _, table = TABLES[name](result).partition("\n")
        parts += [] if parts else [heading]
        parts += [table.strip(), made(result, path)]
    return parts


def made(result: Record, path: Path) -> str:
    """Say when and by what a table was made, and where all its figures are."""
    link = f"[{path.parent.name}](../{path.relative_to(ROOT).as_posix()})"
    day = f", {result['date']}" if "date" in result else ""
    by = f", by `{result['command']}`" if "command" in result else ""
    return f"*{link}{day}, at {result['commit']}{by}.*"


if __name__ == "__main__":
    update_page()
