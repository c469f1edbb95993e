"""JSON objects in files of anybody's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from groundup.base.errors import RunError
from groundup.base.files import file_error
from groundup.base.parse import parse_object
from groundup.base.regular import read_bytes


def read_object(path: Path, most_bytes: int) -> dict[str, Any]:
    """Return the JSON object in `path`; what is wrong with it is a one-line `RunError`."""
    try:
        content = read_bytes(path, most_bytes)
    except OSError as error:
        raise file_error(path, error) from error
    except ValueError as error:
        raise RunError(f"{path}: {error}; expected a small file, as tools write it") from error
    return parse_object(content, path)
