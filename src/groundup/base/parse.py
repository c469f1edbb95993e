"""JSON and TOML that anybody may have written: what is wrong with them is a ValueError.

Either takes less than a second and little memory beside the text, whatever stands in it.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from groundup.base.errors import RunError, quoted, shown

WHOLE = "fetch or export the file again"
MOST_VALUES = 450_000
"""In JSON; two bytes of text may become 64 in memory."""
MOST_TOML = 100_000
"""Values, keys, lines and escapes in TOML, whose parser takes up to 8 µs for each."""
MOST_DOTS = 50
"""In a line of TOML: the time for a key a.b.c… grows with the square of its length."""
_TEXT = re.compile(r'[\w-]+ = "')
_HALF_A_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_json(raw: bytes, most: int = MOST_VALUES, **hooks: Any) -> Any:
    """Return the JSON value in `raw`, of `most` parts in all; `hooks` are those of json.loads."""
    _check_number(sum(map(raw.count, (b",", b"[", b"{"))), most)
    try:
        return json.loads(raw.decode("utf-8", "surrogatepass"), **hooks)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_strictly(raw: bytes, most: int = MOST_VALUES) -> Any:
    """Return the JSON value in `raw`, with no key twice, no number that is none, only Unicode."""
    raw.decode("utf-8")  # without halves of characters
    value = parse_json(
        raw, most, object_pairs_hook=_unique, parse_constant=_no_number, parse_float=_finite
    )
    if _HALF_A_CHARACTER.search(raw):  # it could not be written again
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def parse_object(raw: bytes, source: Path) -> dict[str, Any]:
    """Return the JSON object in `raw`, strictly; what is wrong is a `RunError` about `source`."""
    try:
        value = parse_strictly(raw)
    except ValueError as error:
        raise RunError(f"{source}: expected JSON, but {shown(str(error), 200)}; {WHOLE}") from None
    if not isinstance(value, dict):
        raise RunError(f"{source}: expected a JSON object, but it is something else; {WHOLE}")
    return value


def parse_toml(raw: bytes) -> dict[str, Any]:
    """Return the tables of the TOML in `raw`."""
    text = raw.decode("utf-8")
    _check_number(sum(map(text.count, "=[{,\\\n")), MOST_TOML)
    if any(line.count(".") > MOST_DOTS and not _TEXT.match(line) for line in text.splitlines()):
        raise ValueError(f"a line has more than {MOST_DOTS} dots")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {quoted(twice)} stands twice in one object")
    return found


def _check_number(found: int, most: int) -> None:
    if found > most:
        raise ValueError(f"it has some {found:,} values, more than the {most:,} expected")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _no_number(shown(digits))


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
