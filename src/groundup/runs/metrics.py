"""JSON lines that grow with a run, and are cut back to the checkpoint it resumes from."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from groundup.base.errors import GroundupError
from groundup.base.files import atomic_writer, file_error
from groundup.base.parse import parse_json
from groundup.base.regular import open_regular, refuse_holes

LONGEST_LINE = 16 << 20
"""Bytes of a record; what is longer is passed over."""
MOST_BYTES = 4 << 30
"""Of a file: twenty million steps."""


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Append `record` as one line; numbers JSON does not know (NaN, infinity) become strings."""
    safe = {
        key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in record.items()
    }
    line = json.dumps(safe, ensure_ascii=False) + "\n"
    try:
        with open_regular(path, "ab", links=False) as file:
            file.write(line.encode("utf-8", "surrogatepass"))
    except OSError as error:
        raise file_error(path, error) from error


def read_lines(path: Path, *, links: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the records of a JSON lines file; a line cut short by a crash is passed over.

    Without `links` the file must not be a link.
    """
    for line in raw_lines(path, links=links):
        if (record := parsed(line)) is not None:
            yield record


def raw_lines(path: Path, *, links: bool = False, block: int = 0) -> Iterator[bytes]:
    """Yield the lines of a file as they are, or `block` bytes at a time, up to the end of a line.

    There are none where there is no file.
    """
    if not path.exists():
        return
    try:
        with open_regular(path, links=links) as file:
            status = os.fstat(file.fileno())
            if (size := status.st_size) > MOST_BYTES:
                raise GroundupError(
                    f"{path}: {size >> 30} GiB, expected at most {MOST_BYTES >> 30}; move it away"
                )
            refuse_holes(path, status)
            while lines := file.read(block) + file.readline(LONGEST_LINE):
                yield lines
    except OSError as error:
        raise file_error(path, error) from error


def parsed(line: bytes) -> dict[str, Any] | None:
    """Return the record in a line, None where a crash cut it short."""
    if line.startswith(b"{"):
        with contextlib.suppress(ValueError):
            record: dict[str, Any] = parse_json(line)
            return record
    return None


def cut_back(path: Path, step: int, length: int | None = None) -> None:
    """Drop what was written after `step`: the resumed run will write it again.

    The first `length` bytes are kept where they end a line; else the records up to `step`.
    """
    if length is not None and _ends_a_line(path, length):
        try:
            with open_regular(path, "ab", links=False) as file:
                file.truncate(length)
        except OSError as error:
            raise file_error(path, error) from error
        return
    kept = [record for record in read_lines(path) if _step(record) <= step]
    with atomic_writer(path) as file:
        for record in kept:
            line = json.dumps(record, ensure_ascii=False) + "\n"
            file.write(line.encode("utf-8", "surrogatepass"))


def size(path: Path) -> int:
    """Return the bytes of a file, 0 where it is absent."""
    return path.stat().st_size if path.exists() else 0


def flush(path: Path) -> None:
    """Bring what was appended to the device."""
    try:
        with open_regular(path, links=False) as file:
            os.fsync(file.fileno())
    except FileNotFoundError:
        return
    except OSError as error:
        raise file_error(path, error) from error


def _ends_a_line(path: Path, length: int) -> bool:
    if not 0 <= length <= size(path):
        return False
    if length == 0:
        return path.exists()
    with open_regular(path, links=False) as file:
        file.seek(length - 1)
        return file.read(1) == b"\n"


def _step(record: dict[str, Any]) -> float:
    step = record.get("step", 0)
    return step if isinstance(step, int | float) else math.inf
