"""Labels of examples: what a value in a field says, and what is no label."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from groundup.base.errors import DataError, shown
from groundup.data.text_fields import decoded

NUMBER, TEXT, TRUTH = "a number", "text", "a boolean"
DIGITS = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
NUMERAL = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)")
WHOLE = re.compile(r"([-+]?\d+)\.0*")
MISSING = frozenset(("nan", "null"))
"""What programs write into a cell where there is no value."""
LONGEST = 200
"""Characters of a label."""


class Labels:
    """Reads labels, and keeps what was changed in them, and the first of each kind."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[str, str]] = {}  # the first label of each kind, and where
        self._changed: dict[str, list[str]] = defaultdict(list)

    def read(self, value: Any, where: str, *, typed: bool) -> str | None:
        """Return the label in a value, or None if there is none; anything else is a `DataError`.

        `typed` says that the value has a type: the text "1" of JSON is no number then.
        """
        if (found := _label(value, where, typed)) is None:
            return None
        label, kind = found
        if kind is not None:
            self._kinds.setdefault(kind, (label, where))
        given = decoded(value) if isinstance(value, bytes) else value
        if isinstance(given, str) and given != given.strip():
            self._changed["white space around labels is left out"].append(where)
        if str(given).strip() != label and kind == NUMBER:
            self._changed["labels such as 1.0 are read as 1"].append(where)
        return label

    def check(self) -> None:
        """Raise `DataError` where labels of different kinds were read."""
        if len(self._kinds) < 2:
            return
        (one, (first, there)), (other, (second, here)) = list(self._kinds.items())[:2]
        raise DataError(
            f"{here}: the label '{shown(second, 40)}' is {other}, but '{shown(first, 40)}' in "
            f"{there} is {one}; expected labels of one kind; mend the one that is wrong, or write "
            "all as strings into a .jsonl"
        )

    def notices(self) -> list[str]:
        """Return what was changed, in words."""
        return [
            f"{what}: {len(places):,} ({places[0]}{', …' if len(places) > 1 else ''})"
            for what, places in self._changed.items()
        ]


def _label(value: Any, where: str, typed: bool) -> tuple[str, str | None] | None:
    """Return a label and its kind, None where it fits any, as the string "1" of JSON does."""
    if isinstance(value, bytes):
        value = decoded(value) or value
    if isinstance(value, str):
        return _of_text(value, where, typed)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return str(value).lower(), TRUTH
    if isinstance(value, int):
        return str(value), NUMBER
    if isinstance(value, float):
        if value.is_integer():
            return str(int(value)), NUMBER
        raise _fraction(value, where)
    found = "a list" if isinstance(value, list) else "an object"
    found = found if isinstance(value, list | dict) else type(value).__name__
    raise DataError(
        f"{where}: expected one label, a string, a whole number or a boolean, but found {found}; "
        "mend or remove it"
    )


def _of_text(value: str, where: str, typed: bool) -> tuple[str, str | None] | None:
    text = value.strip()
    if not text or (not typed and text.casefold() in MISSING):
        return None
    if len(text) > LONGEST or not text.isprintable():
        what = (
            f"{len(text):,} characters" if len(text) > LONGEST else "characters that do not print"
        )
        raise DataError(
            f"{where}: expected a label of up to {LONGEST} printable characters, but found {what}; "
            "choose another field with --label-field, or mend it"
        )
    if DIGITS.fullmatch(text) is None:
        return text, TEXT
    if typed:
        return text, None
    if whole := WHOLE.fullmatch(text):
        return whole[1], NUMBER
    if text.lstrip("+-").isdigit():
        return text, NUMBER
    raise _fraction(text, where)


def _fraction(value: object, where: str) -> DataError:
    return DataError(
        f"{where}: the label {shown(str(value), 40)} is no whole number; classes are texts, whole "
        "numbers or booleans; choose another field with --label-field, or mend it"
    )


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Return different labels in the order of their classes: numbers by value, else by letters."""
    different = sorted(set(labels))
    if all(re.fullmatch(r"[-+]?\d+", label) for label in different):
        different.sort(key=int)
    return tuple(different)


def nearly_equal(labels: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the labels that differ only in how they are written, together.

    That is by case or white space, or as 1, 01 and +1, which are one number.
    """
    alike: dict[str | Decimal, list[str]] = defaultdict(list)
    for label in in_order(labels):
        letters = "".join(label.casefold().split())
        alike[Decimal(letters) if NUMERAL.fullmatch(letters) else letters].append(label)
    return [tuple(group) for group in alike.values() if len(group) > 1]
