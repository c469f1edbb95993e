"""Runs on the command line: a folder, or the bare name of one in `runs/`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundup.base.errors import UsageError
from groundup.base.file_names import RUNS


def run_names(incomplete: str) -> list[str]:
    """Return the runs that a shell may complete a word to."""
    from groundup.runs.find import runs_in

    return [p.parent.name for p in runs_in(RUNS) if p.parent.name.startswith(incomplete)]


def preset_names(incomplete: str) -> list[str]:
    """Return the presets that a shell may complete a word to."""
    from groundup.config import PRESETS

    return [name for name in PRESETS if name.startswith(incomplete)]


def _found(path: Path) -> Path:
    """Return the folder that a word means, if it is a run's."""
    from groundup.runs import RunFolder
    from groundup.runs.find import find_run

    folder = RunFolder(find_run(path))
    folder.model_config(folder.read())
    return folder.path


def _all_found(paths: list[Path]) -> list[Path]:
    from groundup.runs.find import find_run

    return [find_run(path) for path in paths]


def check_run(run: Path, checkpoint: str, device: str = "cpu", *, plain: bool = True) -> None:
    """Refuse a checkpoint, a device or a part that is not there, before torch is loaded.

    So is, where `plain`, a run that holds more than the GPT that would be used of it.
    """
    from groundup.runs import RunFolder
    from groundup.runs.base import check_plain
    from groundup.runs.choose import candidates
    from groundup.runs.foreign import check_own_parts

    folder = RunFolder(run)
    if device not in DEVICES:
        raise UsageError(f"--device {device}: not on this machine; expected {', '.join(DEVICES)}")
    manifest = folder.read()
    check_own_parts(folder.model_config(manifest), run)
    if plain:
        check_plain(folder, manifest)
    candidates(folder, checkpoint)


DEVICES = ("cpu", "cuda", "mps")
Run = Annotated[
    Path,
    typer.Argument(
        callback=_found, autocompletion=run_names, help="A run: its folder, or its name in runs/."
    ),
]
Runs = Annotated[
    list[Path],
    typer.Argument(
        callback=_all_found,
        autocompletion=run_names,
        help="Two or more: their folders, or their names in runs/.",
    ),
]
