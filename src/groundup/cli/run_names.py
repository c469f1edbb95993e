"""Runs on the command line: a folder, or the bare name of one in `runs/`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from groundup.base.errors import UsageError


def run_names(incomplete: str) -> list[str]:
    """Return the runs that a shell may complete a word to."""
    from groundup.runs.find import RUNS, runs_in

    return [p.parent.name for p in runs_in(RUNS) if p.parent.name.startswith(incomplete)]


def preset_names(incomplete: str) -> list[str]:
    """Return the presets that a shell may complete a word to."""
    from groundup.config import PRESETS

    return [name for name in PRESETS if name.startswith(incomplete)]


def _found(name: Any) -> Any:
    from groundup.runs.find import find_run

    return [find_run(one) for one in name] if isinstance(name, list | tuple) else find_run(name)


def run_argument(help_: str) -> Any:
    """Return an argument that takes a run's folder, or its name within `runs/`."""
    return typer.Argument(callback=_found, autocompletion=run_names, help=help_)


def check_run(run: Path, checkpoint: str, device: str = "cpu") -> None:
    """Refuse a run, a checkpoint or a device that is not there, before torch is loaded."""
    from groundup.runs import RunFolder
    from groundup.runs.checkpoint import candidates

    if device not in DEVICES:
        raise UsageError(f"--device {device}: expected {', '.join(DEVICES)}")
    folder = RunFolder(run)
    folder.model_config(folder.read())
    candidates(folder, checkpoint)


DEVICES = ("cpu", "cuda", "mps")
Run = Annotated[Path, run_argument("A run: its folder, or its name in runs/.")]
