"""A program of these tests in a process of its own, as what it tries may end it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.processes.starting import environment


def told_by(program: str, folder: Path, *words: str, **more: str) -> list[dict[str, Any]]:
    """Return what a program of `tests.faults` printed, a JSON object a line, having ended well.

    `folder` is where it works, and the first of its words; `more` is added to its environment.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"tests.faults.{program}", str(folder), *words],
        cwd=folder,
        env=environment(RUST_BACKTRACE="0", **more),
        capture_output=True,
        text=True,
        check=False,
    )
    now = folder / "now"
    place = now.read_text() if now.is_file() else "the genuine files"
    assert done.returncode == 0, f"ended at {place}: {done.stderr[-4000:]}"
    return [json.loads(line) for line in done.stdout.splitlines()]
