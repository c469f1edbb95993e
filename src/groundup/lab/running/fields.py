"""What the fields of an experiment may be: Python takes whatever is given, and fails later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from groundup.base.errors import UsageError, quoted
from groundup.lab.experiment import (
    AT_INITIALISATION,
    TRAINED,
    Arm,
    Difference,
    Experiment,
    Finding,
    Prediction,
    Study,
    Table,
)
from groundup.model import Parts
from groundup.report.charts import AnyChart

LARGEST = 1e300
"""Numbers beyond have no logarithm, square or text of a few digits."""


class Kind(NamedTuple):
    """What a field may be."""

    holds: Callable[[Any], bool]
    words: str


def is_list(value: Any, of: Callable[[Any], bool]) -> bool:
    """Tell whether a value is a list, a tuple or a range, of such values."""
    return isinstance(value, Sequence) and not isinstance(value, str) and all(map(of, value))


def is_text(value: Any) -> bool:
    """Tell whether a value is a text that says something."""
    return isinstance(value, str) and bool(value.strip())


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number."""
    return isinstance(value, int | float) and not is_bool(value) and abs(value) < LARGEST


def is_bool(value: Any) -> bool:
    """Tell whether a value is True or False."""
    return isinstance(value, bool)


def _is(kind: Any) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


TEXT = Kind(_is(str), "a text")
SAID = Kind(is_text, "a text")
TABLE = Kind(_is(Mapping), "a dictionary")
FUNCTION = Kind(callable, "a function")
TEXTS = Kind(lambda value: is_list(value, _is(str)), "a list or a tuple of texts")
KINDS: dict[type, dict[str, Kind]] = {
    Experiment: {
        "question": SAID,
        "studies": Kind(callable, "a function of the scale"),
        "least": Kind(lambda value: is_number(value) and value > 0, "a number above 0"),
        "minutes": Kind(lambda value: value is None or is_number(value), "a number, or None"),
        "answered_by": TEXTS,
    },
    Study: {
        "title": SAID,
        "kind": Kind(
            lambda value: value in (AT_INITIALISATION, TRAINED),
            f"groundup.lab.AT_INITIALISATION or TRAINED, {AT_INITIALISATION!r} or {TRAINED!r}",
        ),
        "prediction": Kind(_is(Prediction), "a groundup.lab.Prediction"),
        "equal": TEXT,
        "measured": TEXT,
        "arms": Kind(lambda value: is_list(value, _is(Arm)), "a list or a tuple of Arm"),
        "seeds": Kind(
            lambda value: is_list(value, lambda one: isinstance(one, int) and not is_bool(one)),
            "a list or a tuple of whole numbers",
        ),
        "xs": Kind(lambda value: is_list(value, is_number), "a list or a tuple of numbers"),
        "x_name": TEXT,
        "at": Kind(callable, "a function of an arm and a value"),
        "model": TABLE,
        "train": TABLE,
        "options": TABLE,
        "measure": FUNCTION,
        "conclude": FUNCTION,
    },
    Prediction: {"says": TEXT, "source": TEXT},
    Arm: {
        "name": SAID,
        "model": TABLE,
        "train": TABLE,
        "options": TABLE,
        "parts": Kind(_is(Parts), "Parts, such as dataclasses.replace(PARTS, norms={...})"),
        "start": Kind(callable, "a function of the model"),
    },
    Finding: {
        "verdict": Kind(is_text, "a sentence"),
        "came_out": Kind(lambda value: value is None or is_bool(value), "True, False or None"),
        "answer": TEXT,
        "differences": Kind(lambda value: is_list(value, _is(Difference)), "a list of Difference"),
        "tables": Kind(lambda value: is_list(value, _is(Table)), "a list of Table"),
        "charts": Kind(
            lambda value: is_list(value, _is(AnyChart)),
            "a list of Chart and IntervalChart",
        ),
        "notes": TEXTS,
        "figures": TABLE,
    },
}


def check_fields(where: str, value: object, kind_of: type) -> None:
    """Refuse one of KINDS of which a field is something else."""
    for field, kind in KINDS[kind_of].items():
        given = getattr(value, field)
        if not kind.holds(given):
            raise UsageError(f"{where}: {field} = {quoted(given)}: expected {kind.words}")
