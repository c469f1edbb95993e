"""The folder of an experiment, lab/NAME/: what its cells measured, and what came of it.

    lab.json        which experiment this is, and the scales that budgets have come to
    results.jsonl   a line a finished cell, under a key of all that it depends on
    results.csv     the figures of the last command, a row a cell and metric
    verdict.json    its verdict; what --json prints
    report.html     its page
    figures/        its figures as pictures, where these were asked for
    lock            held by the process that measures

Lines are only added, so a process may be killed at any time. Cells of another text or setting have
other keys: they stand in the same file, and no figure is taken for another.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from groundup.base.errors import GroundupError, RunError, UsageError, shown
from groundup.base.file_names import LAB
from groundup.base.files import (
    UNFINISHED,
    file_error,
    make_folder,
    read_json,
    write_json,
    write_text,
)
from groundup.base.lock import file_lock
from groundup.base.parse import parse_json
from groundup.lab.experiment import Cell, Values
from groundup.lab.running.values import checked_values, plain, restored

FORMAT = 1
MANIFEST, RESULTS, TABLE = "lab.json", "results.jsonl", "results.csv"
VERDICT, REPORT, FIGURES, LOCK = "verdict.json", "report.html", "figures", "lock"
BLOCK = 1 << 20
LONGEST_LINE = 1 << 26
"""Bytes of a line of results that are read at once: a cell's line is far shorter."""
NO_RECORD = (ValueError, KeyError, TypeError, OverflowError, RecursionError, UsageError)
"""What is raised for a line of results that no cell has left."""


def default_folder(name: str) -> Path:
    """Return where an experiment is kept unless told."""
    return LAB / name


class LabFolder:
    """The folder of one experiment."""

    def __init__(self, path: Path, experiment: str) -> None:
        self.path, self.experiment = path, experiment
        self._check()

    def _check(self) -> None:
        """Refuse a folder that holds anything else, before it is written to."""
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"--out {self.path}: a file; expected a folder")
        names = {p.name for p in self.path.iterdir()} if self.path.exists() else set()
        if MANIFEST in names:
            if (held := self._manifest().get("experiment")) != self.experiment:
                raise UsageError(
                    f"--out {self.path}: it holds the experiment {shown(held)}, not "
                    f"{self.experiment}; choose another folder"
                )
        elif others := sorted(n for n in names - {LOCK} if not n.startswith(UNFINISHED)):
            raise UsageError(
                f"--out {self.path}: it holds {shown(others[0])}, which is no experiment's; choose "
                "another folder"
            )

    def _manifest(self) -> dict[str, Any]:
        path = self.path / MANIFEST
        _check_regular(path)
        try:
            manifest = read_json(path)
        except GroundupError as error:
            raise RunError(
                f"{path}: it cannot be read; restore it, or choose another folder"
            ) from error
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise RunError(
                f"{path}: expected format = {FORMAT}; choose another folder, or remove this one"
            )
        return manifest

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder, made where absent; another process in it is an error."""

        def refuse(process: str) -> None:
            raise RunError(
                f"{self.path}: process {process} is measuring here; wait for it, or choose another "
                "folder with --out"
            )

        make_folder(self.path)
        with file_lock(self.path / LOCK, refuse):
            if not (self.path / MANIFEST).exists():
                self._keep({"scales": {}})
            self._mend()
            yield

    def scale(self, budget: str) -> float | None:
        """Return the scale that a budget came to before, under a key of what it depends on."""
        scale = self._scales().get(budget)
        return float(scale) if isinstance(scale, int | float) else None

    def keep_scale(self, budget: str, scale: float) -> None:
        """Keep the scale that a budget has come to, so that the same command goes on with it."""
        self._keep({"scales": {**self._scales(), budget: scale}})

    def _scales(self) -> dict[str, Any]:
        scales = self._manifest().get("scales")
        return scales if isinstance(scales, dict) else {}

    def _keep(self, tables: dict[str, Any]) -> None:
        manifest = {"format": FORMAT, "experiment": self.experiment, **tables}
        write_json(self.path / MANIFEST, manifest)

    def _mend(self) -> None:
        """Drop a last line that a killed process left unfinished."""
        path = self.path / RESULTS
        if not path.exists():
            return
        _check_regular(path)
        try:
            with path.open("rb+") as file:
                file.truncate(_end_of_lines(file))
        except OSError as error:
            raise file_error(path, error) from error

    def read(self) -> dict[str, tuple[Values, float]]:
        """Return what each cell measured and how many seconds it took, by its key."""
        path = self.path / RESULTS
        found: dict[str, tuple[Values, float]] = {}
        if not path.exists():
            return {}
        _check_regular(path)
        try:
            with path.open("rb") as file:
                while line := file.readline(LONGEST_LINE):
                    with contextlib.suppress(*NO_RECORD):
                        key, values, seconds = _record(line)
                        found[key] = values, seconds
        except OSError as error:
            raise file_error(path, error) from error
        return found

    def add(self, key: str, cell: Cell, values: Values, seconds: float) -> None:
        """Keep what a cell measured: one line, written at once."""
        record = {"key": key, **cell._asdict(), "seconds": round(seconds, 4)}
        line = json.dumps({**record, "values": plain(values)}, allow_nan=False) + "\n"
        path = self.path / RESULTS
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
            descriptor = os.open(path, flags, 0o666)
            try:
                left = memoryview(line.encode())
                while left:
                    left = left[os.write(descriptor, left) :]
            finally:
                os.close(descriptor)
        except OSError as error:
            raise file_error(path, error) from error

    def write_table(self, values: Mapping[Cell, Values]) -> None:
        """Write results.csv; of a list, one row a number."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["study", "arm", "x", "seed", "metric", "i", "value"])
        for cell, measured in values.items():
            for metric, value in measured.items():
                many = list(enumerate(value)) if isinstance(value, list) else [("", value)]
                writer.writerows([*cell, metric, i, plain(one)] for i, one in many)
        write_text(self.path / TABLE, out.getvalue())

    def write_verdict(self, verdict: Mapping[str, Any]) -> None:
        """Write verdict.json."""
        write_json(self.path / VERDICT, verdict)


def _end_of_lines(file: IO[bytes]) -> int:
    """Return where the last line that is whole ends."""
    end = file.seek(0, os.SEEK_END)
    while end:
        begin = max(0, end - BLOCK)
        file.seek(begin)
        if (newline := file.read(end - begin).rfind(b"\n")) >= 0:
            return begin + newline + 1
        end = begin
    return 0


def _record(line: bytes) -> tuple[str, Values, float]:
    """Return the key, the values and the seconds of a line, or raise one of `NO_RECORD`."""
    record = parse_json(line)
    values, seconds = checked_values(restored(record["values"])), float(record["seconds"])
    if not 0 <= seconds < math.inf:
        raise ValueError(seconds)
    return record["key"], values, seconds


def _check_regular(path: Path) -> None:
    try:
        is_regular = stat.S_ISREG(path.lstat().st_mode)
    except OSError as error:
        raise file_error(path, error) from error
    if not is_regular:
        raise RunError(f"{path}: expected a regular file; remove it, or choose another folder")
