"""The runs in a folder, a line each."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from groundup.base.errors import GroundupError
from groundup.runs.assistant import objective_of
from groundup.runs.folder import RunFolder
from groundup.runs.record import number, read_run


@dataclass(frozen=True)
class RunSummary:
    """A line of `groundup runs`; `error` says why a damaged folder could not be read."""

    name: str
    path: Path
    state: str
    kind: str = ""
    """Of its training, and so what its losses are of; "" where it could not be read."""
    objective: str = ""
    """By which an assistant has learnt; losses of two of them are of different things."""
    parameters: int | None = None
    size_bytes: int = 0
    step: int = 0
    steps: int | None = None
    best_val_loss: float | None = None
    verdict: str = ""
    updated: datetime | None = None
    error: str = ""


def list_runs(root: Path) -> list[RunSummary]:
    """Return the runs in the folder `root`, by name; a damaged one is listed with its error."""
    folders = [RunFolder(path) for path in sorted(root.iterdir())] if root.is_dir() else []
    return [_summary(folder) for folder in folders if folder.exists()]


def _summary(folder: RunFolder) -> RunSummary:
    size, updated = _size_and_time(folder.path)
    summary = RunSummary(
        name=folder.path.name, path=folder.path, state="damaged", size_bytes=size, updated=updated
    )
    try:
        run = read_run(folder.path)
        return replace(
            summary,
            state=run.state,
            kind=run.manifest.kind,
            objective=objective_of(run.manifest) or "",
            parameters=run.parameters,
            step=run.step,
            steps=run.steps,
            best_val_loss=number(run.best["val_loss"]) if run.best else None,
            verdict=run.verdict,
        )
    except GroundupError as error:
        return replace(summary, error=str(error))


def _size_and_time(folder: Path) -> tuple[int, datetime]:
    """Return the bytes in `folder` and when any of its files last changed."""
    size, changed = 0, folder.stat().st_mtime
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # a running trainer removes files meanwhile
            found = path.stat()
            if path.is_file():
                size, changed = size + found.st_size, max(changed, found.st_mtime)
    return size, datetime.fromtimestamp(changed, UTC)
