"""The runs in a folder, a line each."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from groundup.base.errors import GroundupError
from groundup.base.files import file_error
from groundup.base.regular import check_regular, entries_below
from groundup.config import foreign_parts
from groundup.runs.assistant import objective_of
from groundup.runs.ends import read_ends
from groundup.runs.folder import RunFolder
from groundup.runs.foreign import stored_parameters
from groundup.runs.list_cache import Facts, ListCache, Signature, signature
from groundup.runs.manifest import Manifest, read_manifest
from groundup.runs.record import (
    n_parameters,
    past_state,
    read_run,
    so_far,
    state_of,
    steps_of,
)

MANY = 20
"""Runs from which on what was read is kept for the next time."""


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


def list_runs(root: Path, *, verdicts: bool = True) -> list[RunSummary]:
    """Return the runs in the folder `root`, by name; a damaged one is listed with its error.

    Without `verdicts`, for which all metrics are read, it takes a tenth of the time.
    """
    return list(each_run(root, run_folders(root), verdicts=verdicts))


def run_folders(root: Path) -> list[RunFolder]:
    """Return the folders in `root` in which a run has begun, by name."""
    try:
        folders = [RunFolder(path) for path in sorted(root.iterdir())] if root.is_dir() else []
    except OSError as error:
        raise file_error(root, error) from error
    return [folder for folder in folders if folder.exists()]


def each_run(
    root: Path, folders: list[RunFolder], *, verdicts: bool = True
) -> Iterator[RunSummary]:
    """Yield what `list_runs` returns, as it is read.

    What was read of one of many before, and has not changed since, is taken from a cache.
    """
    names = [folder.path.name for folder in folders]
    is_kept = len(folders) >= MANY
    with ListCache.of(root, names) if is_kept else nullcontext(ListCache({})) as cache:
        for folder in folders:
            yield _summary(folder, cache, verdicts)


def _summary(folder: RunFolder, cache: ListCache, verdicts: bool) -> RunSummary:
    found = _Found()
    summary = RunSummary(name=folder.path.name, path=folder.path, state="damaged")
    try:
        found.look_at(folder)
        facts = _facts(folder, found, cache, verdicts)
        state = state_of(folder, facts.past_state, has_begun=facts.has_begun)
        verdict = so_far(facts.curves or "", facts.step, state) if verdicts else ""
        summary = replace(summary, state=state, verdict=verdict, **facts.shown())
    except (GroundupError, OSError) as error:
        if isinstance(error, OSError):
            error = file_error(folder.path, error)
        summary = replace(summary, error=str(error))
    return replace(summary, size_bytes=found.size, updated=_date(found.changed))


@dataclass
class _Found:
    """What a look at all files of a run showed, without reading any."""

    size: int = 0
    changed: float | None = None
    signature: Signature = field(default_factory=list)

    def look_at(self, folder: RunFolder) -> None:
        """Fill it in; a folder with anything but regular files and folders is refused, then."""
        self.changed = changed = folder.path.stat().st_mtime
        irregular: GroundupError | None = None
        statuses: dict[str, os.stat_result] = {}
        for path, status in entries_below(folder.path):
            statuses[path] = status
            try:
                check_regular(path, status)
            except GroundupError as error:
                irregular = irregular or error
            if stat.S_ISREG(status.st_mode):
                self.size += status.st_size
                self.changed = changed = max(changed, status.st_mtime)
        if irregular:
            raise irregular
        read = (folder.manifest, folder.metrics)
        self.signature = signature(statuses.get(str(path)) for path in read)


def _facts(folder: RunFolder, found: _Found, cache: ListCache, verdicts: bool) -> Facts:
    known = cache.get(folder.path.name, found.signature)
    if known and (known.curves is not None or not verdicts):
        return known
    manifest = _manifest(folder)
    config = folder.model_config(manifest)
    is_foreign = bool(foreign_parts(config))
    ends = read_ends(folder.metrics)
    facts = Facts(
        kind=manifest.kind,
        objective=objective_of(manifest) or "",
        parameters=n_parameters(
            manifest, config, stored_parameters(folder) if is_foreign else None
        ),
        step=ends.step,
        steps=steps_of(manifest),
        best_val_loss=ends.best_val_loss,
        past_state=past_state(manifest, ends.last_line),
        has_begun=bool(ends.last_line),
        curves=read_run(folder.path).curves if verdicts else None,
    )
    if not is_foreign:  # whose parameters are those of files that were not looked at
        cache.add(folder.path.name, found.signature, facts, (folder.manifest, folder.metrics))
    return facts


def _manifest(folder: RunFolder) -> Manifest:
    try:
        return read_manifest(folder.manifest)
    except OSError as error:
        raise file_error(folder.manifest, error) from error


def _date(seconds: float | None) -> datetime | None:
    """Return a time that can be shown here; a file may have any."""
    if seconds is None:
        return None
    try:
        date = datetime.fromtimestamp(seconds, UTC)
        date.astimezone()
    except (OverflowError, ValueError, OSError):
        return None
    return date
