"""Dataclasses as JSON: written whole, and read with every value checked by its field's type."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from groundup.base.errors import RunError, quoted
from groundup.base.files import read_json

T = TypeVar("T")


def from_json(kind: type[T], values: Any, version: int) -> T:
    """Return the dataclass `kind` with these values; a `ValueError` says which is not as expected.

    `values` are those of a whole file, with its `format`, which must be `version`. Fields may be
    text, bool, numbers, dataclasses, tuples, tables by name, and any of these or None. Whole
    numbers are 0 or more, others finite; keys of later versions are passed over.
    """
    found = values.get("format") if isinstance(values, Mapping) else None
    if isinstance(values, Mapping) and found != version:
        raise ValueError(f"format is {quoted(found)}, this groundup reads format {version}")
    return typing.cast(T, _value(kind, values, "the file"))


def read_record(path: Path, of: Callable[[Any], T], what: str, verb: str) -> T | None:
    """Read the figures of a test, None where the file is absent.

    `of` makes them of plain values or raises a `ValueError`: then `what` they are the figures of,
    and the `verb` of `groundup finetune` that writes them, are said in a one-line `RunError`.
    """
    if not path.exists():
        return None
    try:
        return of(read_json(path))
    except ValueError as error:
        raise RunError(
            f"{path}: expected the figures of {what}, but {error}; remove the file, and the same "
            f"'groundup finetune {verb}' command writes it again"
        ) from error


def _value(kind: Any, value: Any, name: str) -> Any:
    """Return `value`, plain as JSON has it, as what the type `kind` says, however nested."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return None if value is None else _value(inner[0], value, name)
    if origin is tuple and isinstance(value, list | tuple):
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        if len(kinds) == len(value):
            return tuple(_value(k, v, f"{name}[{i}]") for i, (k, v) in _numbered(kinds, value))
    elif origin is dict and isinstance(value, dict):
        return {key: _value(inner[1], v, f"{name}.{key}") for key, v in value.items()}
    elif is_dataclass(kind) and isinstance(value, dict):
        return _table(typing.cast(type, kind), value, name)
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        if kind is float or (kind is int and isinstance(value, int) and value >= 0):
            return kind(value)
    elif kind in (str, bool) and type(value) is kind:
        return value
    raise ValueError(f"{name} is {quoted(value)}")


def _numbered(kinds: Any, values: Any) -> Any:
    return enumerate(zip(kinds, values, strict=True))


def _table(kind: type, values: dict[str, Any], name: str) -> Any:
    """Return a dataclass of these values; keys of later versions are passed over."""
    hints, known = typing.get_type_hints(kind), {}
    for one in fields(kind):
        if one.name in values:
            inside = one.name if name == "the file" else f"{name}.{one.name}"
            known[one.name] = _value(hints[one.name], values[one.name], inside)
        elif one.default is MISSING and one.default_factory is MISSING:
            raise ValueError(f"{name} has no {one.name}")
    return kind(**known)
