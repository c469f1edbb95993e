"""JSON objects in files of anybody's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from groundup.base.errors import RunError
from groundup.base.files import file_error
from groundup.base.parse import parse_object


def read_object(path: Path, most_bytes: int) -> dict[str, Any]:
    """Return the JSON object in `path`; what is wrong with it is a one-line `RunError`."""
    try:
        if (size := path.stat().st_size) > most_bytes:
            raise RunError(
                f"{path}: {size:,} bytes, more than the {most_bytes:,} expected of such a file"
            )
        return parse_object(path.read_bytes(), path)
    except OSError as error:
        raise file_error(path, error) from error
