"""A config.json by key: with its family's defaults, and refusals that name the key."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.base.errors import RunError, shown
from groundup.config import GPTConfig
from groundup.config.fields import field_types

Fields = dict[str, Any]
_TYPES = field_types(GPTConfig)
_MAY_BE_NONE = {field.name for field in dataclasses.fields(GPTConfig) if not field.default}


class Settings:
    """The values of a config.json; what it leaves out is as `defaults` say, else None.

    `context` is the one that is wanted of a model that has several, where somebody said so.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        defaults: Mapping[str, Any],
        source: Path,
        context: int | None = None,
    ):
        self.values, self.defaults, self.source = values, defaults, source
        self.context = context

    def __getitem__(self, key: str) -> Any:
        return self.values.get(key, self.defaults.get(key))

    def refusal(self, key: str, expected: str, value: Any = None) -> RunError:
        """Return the error that says what was `expected` of `key`, or of `value` inside of it."""
        given = self[key] if value is None else value
        return RunError(f"{self.source}: {key} = {shown(given)}: expected {expected}")

    def table(self, key: str) -> Fields:
        """Return an object of the config; an absent one is empty."""
        value = self[key]
        if not isinstance(value, dict | None):
            raise self.refusal(key, "an object or null")
        return value or {}

    def factor(self, key: str) -> float:
        """Return the number above 0 at `key`."""
        value = self[key]
        if type(value) not in (int, float) or not 0 < value < float("inf"):
            raise self.refusal(key, "a number above 0")
        return float(value)

    def field(self, ours: str, key: str) -> Any:
        """Return what `key` says as a value of our config's field `ours`."""
        return self.typed(ours, key, self[key])

    def typed(self, ours: str, key: str, value: Any) -> Any:
        """Return `value`, found at `key`, as a value of our config's field `ours`.

        Null and absent are 0 where that is our word for none, and refused elsewhere.
        """
        kind = _TYPES[ours][0]
        if value is None and ours in _MAY_BE_NONE:
            return None if type(None) in _TYPES[ours] else kind()
        if kind is float and type(value) is int and abs(value) < 1 << 63:
            return float(value)
        if type(value) is not kind:
            raise self.refusal(key, f"a value of type {kind.__name__}", value)
        return value
