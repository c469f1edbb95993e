"""Records in JSON: one a line, a list of them, or one. What stands there says which."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

from groundup.base.errors import DataError
from groundup.data.streams import LARGEST_RECORD, lines, longer_than
from groundup.data.text_fields import Records, Survey, find_field
from groundup.data.texts import Reading


def jsonl_records(pieces: Iterator[str], name: str, reading: Reading) -> Records:
    """Yield the value on each line that is not blank; or the elements, where one list is all."""
    head = _head(pieces, name, str.strip)
    pieces = itertools.chain([head], pieces)
    if not head.lstrip().startswith("["):
        return _on_lines(pieces, name)
    head = _head(pieces, name, _first_of_lines)
    pieces = itertools.chain([head], pieces)
    if _begins_with_a_value(head):
        return _on_lines(pieces, name)
    reading.log.read(name, "read as one JSON list, not a record a line")
    return _in_one_value(pieces, name, reading)


def json_records(pieces: Iterator[str], name: str, reading: Reading) -> Records:
    """Yield the elements of a list, or of the one list in an object, or the one value.

    A file of several values, each on a line, is JSON Lines whatever its ending. Any other is read
    whole, and may hold 64 MiB.
    """
    head = _head(pieces, name, _first_of_lines)
    pieces = itertools.chain([head], pieces)
    if _begins_with_a_value(head):
        reading.log.read(name, "read as JSON Lines, a record a line")
        return _on_lines(pieces, name)
    return _in_one_value(pieces, name, reading)


def _head(pieces: Iterator[str], name: str, until: Callable[[str], object]) -> str:
    """Return the text up to the first piece with which `until` is true, or all of it."""
    text = ""
    for piece in pieces:
        text += piece
        if longer_than(text, LARGEST_RECORD):
            raise DataError(
                f"{name}: a JSON file is read whole and may hold {LARGEST_RECORD >> 20} MiB; write "
                "it as .jsonl, a record a line, which may be of any size"
            )
        if until(text):
            break
    return text


def _first_of_lines(text: str) -> str | None:
    """Return the first line that is not blank, if another one follows it."""
    first, _, rest = text.lstrip().partition("\n")
    return first if rest and not rest.isspace() else None


def _begins_with_a_value(head: str) -> bool:
    """Say whether the first of several lines is JSON by itself."""
    first = _first_of_lines(head)
    return first is not None and not isinstance(_parse(first, ""), DataError)


def _on_lines(pieces: Iterator[str], name: str) -> Records:
    for number, line in enumerate(lines(pieces, name), 1):
        if line and not line.isspace():
            label = f"{name}, line {number}"
            yield label, _parse(line, label)


def _in_one_value(pieces: Iterator[str], name: str, reading: Reading) -> Records:
    text = _head(pieces, name, lambda text: False)
    if not text or text.isspace():
        return
    value = _parse(text, name)
    if isinstance(value, DataError):
        raise value
    if isinstance(value, dict) and (field := _list_within(value, reading.text_field)):
        reading.log.read(name, f"the records are the list '{field}'")
        value = value[field]
    for number, record in enumerate(value if isinstance(value, list) else [value], 1):
        yield f"{name}, record {number}", record


def _parse(text: str, label: str) -> Any:
    """Return the value, or the `DataError` that says why it is none."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:  # its own line and column are those of one record
        where = f"{error.msg} at character {error.pos}"
        return DataError(f"{label}: expected JSON, but {where}; mend or remove it")
    except RecursionError:
        return DataError(f"{label}: expected JSON, but it is nested too deeply; mend or remove it")
    except ValueError as error:
        return DataError(f"{label}: expected JSON, but {error}; mend or remove it")


def _list_within(value: dict[str, Any], text_field: str | None) -> str | None:
    """Return the field with the records in an object that is no record, or None.

    It is the one list of objects; or of strings, where the object holds nothing else.
    """
    survey = Survey()
    survey.add({k: v[:100] if isinstance(v, list) else v for k, v in value.items()})
    if find_field(survey, text_field):
        return None
    kinds = dict if len(value) > 1 else dict | str
    lists = [
        field
        for field, found in value.items()
        if isinstance(found, list) and found and all(isinstance(r, kinds) for r in found)
    ]
    return lists[0] if len(lists) == 1 else None
