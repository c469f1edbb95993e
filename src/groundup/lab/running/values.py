"""What a cell measured, as plain numbers and lists that can be kept and read again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from groundup.base.errors import UsageError, quoted
from groundup.lab.experiment import Values

MOST_NUMBERS = 100_000
"""That a cell measures: it is kept as one line of text."""
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""How numbers that JSON lacks are written."""


def checked_values(values: object) -> Values:
    """Return what a cell measured as plain numbers and lists, which can be kept."""
    if not isinstance(values, Mapping):
        raise UsageError(
            f"measured {quoted(values)}; expected a dictionary of numbers by their names"
        )
    plain = {str(name): _plain(str(name), value) for name, value in values.items()}
    if (count := sum(map(_count, plain.values()))) > MOST_NUMBERS:
        raise UsageError(f"measured {count:,} numbers; expected at most {MOST_NUMBERS:,}: sum up")
    return plain


def _count(value: Any) -> int:
    return sum(map(_count, value)) if isinstance(value, list) else 1


def _plain(name: str, value: Any) -> Any:
    if hasattr(value, "tolist"):  # of numpy or torch
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(name, inner) for inner in value]
    if not isinstance(value, bool | int | float) or (isinstance(value, int) and abs(value) >> 63):
        raise UsageError(f"{name} is {quoted(value)}; expected a number or a list of numbers")
    return value


def plain(value: Any) -> Any:
    """Return a value as JSON has it; a number that is not finite by its name."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return next(name for name, one in NOT_FINITE.items() if one == value or value != value)
    return value


def restored(value: Any) -> Any:
    """Return a value that `plain` has made plain."""
    if isinstance(value, dict):
        return {key: restored(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [restored(inner) for inner in value]
    return NOT_FINITE.get(value, value) if isinstance(value, str) else value
