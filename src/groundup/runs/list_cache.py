"""What was read of runs for a list, kept in the user's cache until a file of theirs changes.

It is a cache and nothing else: one that is missing, damaged or of another version is as none, and
one that cannot be written is not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from groundup import __version__
from groundup.base.errors import GroundupError
from groundup.base.files import cache_folder, write_text
from groundup.base.parse import parse_json
from groundup.base.regular import read_bytes

FORMAT = f"1 of {__version__}"
"""Changes with all that decides what is read of a run."""
LARGEST = 256 << 20
"""Bytes of the file: room for some 500,000 runs."""
JUST_NOW = 2.0
"""Seconds within which a file may change twice with no other time to tell them apart."""

Signature = list[list[int] | None]
"""Size, times of change and number of each file that is read; None of one that is not there."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the files of a run say of it, whoever trains there meanwhile."""

    kind: str
    objective: str
    parameters: int
    step: int
    steps: int | None
    best_val_loss: float | None
    past_state: str
    has_begun: bool
    curves: str | None
    """What they mean, in words; None where that was not asked."""

    def shown(self) -> dict[str, Any]:
        """Return what a list shows as it is."""
        own = ("past_state", "has_begun", "curves")
        return {name: value for name, value in vars(self).items() if name not in own}


def signature(statuses: Iterable[os.stat_result | None]) -> Signature:
    """Return what changes with the files of these statuses."""
    return [s and [s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino] for s in statuses]


class ListCache:
    """The facts of the runs in a folder, by name, with the signatures of what they were read of."""

    def __init__(self, entries: dict[str, Any]) -> None:
        self._entries = entries

    @classmethod
    @contextlib.contextmanager
    def of(cls, root: Path, runs: Iterable[str]) -> Iterator[Self]:
        """Lend what is kept of the `runs` in the folder `root`; what is new is written at the end.

        It is forgotten where a run is none of them.
        """
        known = _read(root)
        cache = cls({run: known[run] for run in runs if run in known})
        try:
            yield cache
        finally:
            if cache._entries != known:
                with contextlib.suppress(GroundupError, OSError, ValueError):
                    text = json.dumps(cache._entries)
                    write_text(_path(root), f"{_seal(text)}\n{text}")

    def get(self, run: str, of: Signature) -> Facts | None:
        """Return what is known of a run whose files have this signature, if anything."""
        kept, facts = self._entries.get(run, (None, {}))
        return Facts(**facts) if kept == of else None

    def add(self, run: str, of: Signature, facts: Facts, read: Iterable[Path]) -> None:
        """Keep what was read of a run, unless its files may have changed since they had `of`."""
        latest = max((max(file[1:3]) for file in of if file), default=math.inf)
        if signature(map(_status, read)) == of and latest < (time.time() - JUST_NOW) * 1e9:
            self._entries[run] = [of, asdict(facts)]


def _path(root: Path) -> Path:
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]
    return cache_folder() / "runs" / f"{name}.json"


def _read(root: Path) -> dict[str, Any]:
    """Return what was written of the runs in a folder, nothing of a file that has changed since."""
    with contextlib.suppress(GroundupError, OSError, ValueError):
        seal, _, runs = read_bytes(_path(root), LARGEST).partition(b"\n")
        if seal.decode() == _seal(runs.decode()):
            known: dict[str, Any] = parse_json(runs, most=LARGEST)
            return known
    return {}


def _seal(runs: str) -> str:
    """Return what only a file of this format, whole and unchanged, begins with."""
    return hashlib.sha256(f"{FORMAT}\n{runs}".encode()).hexdigest()


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat(follow_symlinks=False)
    except OSError:
        return None
