"""Frozen, validated dataclasses out of TOML tables and `--set key=value` words, and back."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import numbers
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from groundup.base.errors import ConfigError, alike, nearest, quoted, shown
from groundup.config.other_names import SETTINGS

C = TypeVar("C")
IN_WORDS: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple: "numbers with commas between them",
}
"""What is typed for a setting of a kind."""

NAMES, LATER = "names", "later"
"""Metadata of a field: the names that it knows, and whether older runs were written without it."""


@functools.cache
def field_types(cls: type) -> dict[str, tuple[type, ...]]:
    """Return the accepted types of each field: `int | None` is (int, NoneType)."""
    hints = typing.get_type_hints(cls)
    accepted: dict[str, tuple[type, ...]] = {}
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        kinds = typing.get_args(hint) if is_union else (hint,)
        accepted[field.name] = tuple(typing.get_origin(kind) or kind for kind in kinds)
    return accepted


def by_name(cls: type[C]) -> type[C]:
    """Have a dataclass take names only, and answer an unknown one with the one that it means."""
    made = cls.__init__

    @functools.wraps(made)
    def init(self: C, *values: Any, **fields: Any) -> None:
        if values:
            raise TypeError(f"{cls.__name__} takes names only: write {cls.__name__}(**fields)")
        _check_names(cls, fields)
        made(self, **fields)

    cls.__init__ = init  # type: ignore[method-assign, assignment]
    return cls


def _check_names(cls: type, values: Mapping[str, Any]) -> None:
    accepted = [field.name for field in dataclasses.fields(cls)]
    for key in values:
        if key not in accepted:
            raise ConfigError(
                f"unknown key '{shown(key)}' in {cls.__name__}; {nearest(key, accepted, SETTINGS)}"
            )


def build(cls: type[C], values: Mapping[str, Any], open_names: bool = False) -> C:
    """Build `cls` from plain values; unknown keys and wrong types are refused by name.

    So are names beyond a field's `names`, which only code can give a meaning, unless `open_names`.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{cls.__name__} = {quoted(values)}: expected a table")
    _check_names(cls, values)
    accepted = field_types(cls)  # type: ignore[arg-type]
    made = cls(**{key: _checked(key, value, accepted[key]) for key, value in values.items()})
    if not open_names:
        check_known(made)
    return made


def check_known(config: Any) -> None:
    """Refuse the name of a part that is not among those that its field knows."""
    for field in dataclasses.fields(config):
        names, value = field.metadata.get(NAMES, ()), getattr(config, field.name)
        require(not names or value in names, field.name, value, f"one of {', '.join(names)}")


def check_types(config: Any) -> None:
    """Refuse a field of a frozen dataclass whose value is not of its declared type.

    Numbers of numpy become Python's, whole ones become real where that is declared, and a list a
    tuple; nothing else is converted: 3.0, "3" and True are no int.
    """
    cls: Any = type(config)
    for name, kinds in field_types(cls).items():
        object.__setattr__(config, name, _checked(name, getattr(config, name), kinds))


class Settings:
    """The base of a group of settings: it checks their types before the group checks its own."""

    def __post_init__(self) -> None:
        check_types(self)
        for name, value in vars(self).items():
            finite = not isinstance(value, float) or math.isfinite(value)
            require(finite, name, value, "a finite number")


def _checked(key: str, value: Any, kinds: tuple[type, ...]) -> Any:
    if tuple in kinds and isinstance(value, list | tuple):
        return tuple(_checked(key, number, (float,)) for number in value)
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if is_number and isinstance(value, numbers.Integral):
        value = int(value)
        if not -(1 << 63) <= value < 1 << 63:
            raise ConfigError(f"{key} = {quoted(value)}: expected a number of at most 64 bits")
    if is_number and float in kinds and int not in kinds:
        value = float(value)
    if (isinstance(value, bool) and bool not in kinds) or not isinstance(value, kinds):
        expected = " or ".join(kind.__name__ for kind in kinds if kind is not types.NoneType)
        raise ConfigError(f"{key} = {quoted(value)}: expected {expected}{_hint(key, value, kinds)}")
    return value


def _hint(key: str, value: Any, kinds: tuple[type, ...]) -> str:
    """Say what to write where a value means one of another type, as 3.0 and "3" mean 3."""
    try:
        is_meant = isinstance(value, str | float) and str not in kinds
        return f"; write {parse_value(key, str(value), kinds)!r}" if is_meant else ""
    except ConfigError:
        return ""


def as_table(config: Any) -> dict[str, Any]:
    """Return a config as a TOML table: tuples are lists there, and what is None is left out.

    So is a field that came later, at its default: an older version reads the table, too.
    """
    later = {f.name: f.default for f in dataclasses.fields(config) if f.metadata.get(LATER)}
    table = dataclasses.asdict(config)
    told = {k: v for k, v in table.items() if v is not None and (k not in later or v != later[k])}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in told.items()}


def parse_assignments(words: Iterable[str], *classes: type) -> list[dict[str, Any]]:
    """Sort `key=value` words into one dictionary for each of `classes`, by who owns the key."""
    tables: list[dict[str, Any]] = [{} for _ in classes]
    owners = {name: i for i, cls in reversed(list(enumerate(classes))) for name in field_types(cls)}
    for word in words:
        key, equals, text = word.partition("=")
        key = key.strip()
        if not equals:
            raise ConfigError(f"--set {word}: expected key=value, such as --set n_layers=6")
        if key not in owners:
            hint = nearest(key, owners, SETTINGS)
            raise ConfigError(f"--set {word}: unknown key '{key}'; {hint}")
        if re.search(r",\s*\w+\s*=", text):
            raise ConfigError(f"--set {word}: expected one setting; give each a --set of its own")
        owner = owners[key]
        tables[owner][key] = parse_value(key, text.strip(), field_types(classes[owner])[key])
    return tables


def parse_value(key: str, text: str, kinds: tuple[type, ...]) -> Any:
    """Read `text` as the first of `kinds` that it fits; 1e6 and 50_000 are whole numbers too."""
    if types.NoneType in kinds and text.lower() in ("none", "null"):
        return None
    if bool in kinds and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if int in kinds or float in kinds:
        try:
            number = float(text.replace("_", ""))
        except ValueError:
            number = None
        if number is not None and float in kinds:
            return number
        if number is not None and number.is_integer():
            return int(number)
    if tuple in kinds:
        with contextlib.suppress(ValueError):
            return tuple(float(number) for number in text.split(","))
    if str in kinds:
        return text
    known = [kind for kind in kinds if kind is not types.NoneType]
    expected = " or ".join(IN_WORDS.get(kind, kind.__name__) for kind in known)
    raise ConfigError(f"{key}={text}: expected {expected}")


def one_of(name: str, known: Iterable[str]) -> str:
    """Return in words which names are expected, and which of them `name` may mean."""
    names = list(known)
    hint = f" ({nearest(name, names)})" if alike(name, names, {}) else ""
    return f"one of {', '.join(names)}{hint}"


def require(condition: bool, key: str, value: Any, expected: str) -> None:
    """Refuse `key` = `value` with what was expected, unless `condition` holds."""
    if not condition:
        raise ConfigError(f"{key} = {quoted(value)}: expected {expected}")


def require_at_least(config: Any, least: int, *names: str) -> None:
    """Refuse a field of these that is below `least`; None is no number."""
    for name in names:
        value = getattr(config, name)
        require(value is None or value >= least, name, value, f"{least} or more")


def require_one_of(config: Any, known: tuple[str, ...], *names: str) -> None:
    """Refuse a field of these that is not a `known` word."""
    for name in names:
        value = getattr(config, name)
        require(value in known, name, value, f"one of {', '.join(known)}")
