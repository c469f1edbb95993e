"""JSON from anybody: small enough, in UTF-8, no key twice, no number that is none."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from groundup.base.errors import RunError
from groundup.base.files import file_error

_HALF_A_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")
WHOLE = "fetch or export the file again"


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


def parse_object(raw: bytes, source: Path) -> dict[str, Any]:
    """Return the JSON object in `raw`, which came from `source`."""
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_number
        )
        if _HALF_A_CHARACTER.search(raw):  # it could not be written again
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise RunError(f"{source}: expected JSON, but {error}; {WHOLE}") from None
    if not isinstance(value, dict):
        raise RunError(f"{source}: expected a JSON object, but it is something else; {WHOLE}")
    return value


def shown(value: object) -> str:
    """Return `value` as it may stand in a message: on one line, and short whatever it is."""
    text = value if isinstance(value, str) and value.isprintable() else ascii(_short(value))
    return text if len(text) <= 80 else f"{text[:77]}..."


def _short(value: object) -> object:
    is_long = isinstance(value, str | list | dict) and len(value) > 80
    return f"{type(value).__name__} of {len(value)}" if is_long else value  # type: ignore[arg-type]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {shown(twice)} stands twice in one object")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
