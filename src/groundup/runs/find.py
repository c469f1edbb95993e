"""A run by its name: what stands in `runs/` need not be written out."""

from __future__ import annotations

from pathlib import Path

from groundup.base.errors import alike
from groundup.base.file_names import RUN_MANIFEST, RUNS

MOST_NAMED = 5


def find_run(name: Path, runs: Path = RUNS) -> Path:
    """Return the folder that `name` means: a path that exists, else a bare name within `runs`."""
    is_bare = name.parent == Path() and name.name == str(name)
    return runs / name if is_bare and not name.exists() else name


def near_runs(path: Path) -> str:
    """Return a hint for a `path` that is no run: those whose names are like its own, or nothing."""
    found = {p.parent.name: p.parent for folder in (RUNS, path.parent) for p in runs_in(folder)}
    close = [str(found[name]) for name in alike(path.name, list(found), {})][:MOST_NAMED]
    return f"did you mean {' or '.join(close)}?" if close else ""


def runs_in(folder: Path) -> list[Path]:
    """Return the run.toml of every run in `folder`, sorted."""
    return sorted(folder.glob(f"*/{RUN_MANIFEST}"))
