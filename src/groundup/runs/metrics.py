"""JSON lines that grow with a run, and are cut back to the checkpoint it resumes from."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from groundup.base.files import atomic_writer, file_error


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Append `record` as one line; numbers JSON does not know (NaN, infinity) become strings."""
    safe = {
        key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in record.items()
    }
    line = json.dumps(safe, ensure_ascii=False) + "\n"
    try:
        with path.open("ab") as file:
            file.write(line.encode("utf-8", "surrogatepass"))
    except OSError as error:
        raise file_error(path, error) from error


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a JSON lines file; a line cut short by a crash is passed over."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                if isinstance(record, dict):
                    yield record


def cut_back(path: Path, step: int) -> None:
    """Drop the records after `step`: the resumed run will write them again."""
    kept = [record for record in read_lines(path) if record.get("step", 0) <= step]
    with atomic_writer(path) as file:
        for record in kept:
            file.write((json.dumps(record, ensure_ascii=False) + "\n").encode())
