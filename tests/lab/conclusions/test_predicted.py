"""Predictions of several parts, and what differences and intervals tell of a part."""

from __future__ import annotations

import math

import pytest

from groundup.lab.conclusions import HIGHER, LOWER, NO_DIFFERENCE, differences
from groundup.lab.conclusions.predicted import (
    differs_by,
    is_seen,
    largest,
    with_predictions,
    within,
)
from groundup.lab.experiment import Finding, Table
from tests.lab.results import made_up

FINDING = differences(
    made_up(
        {
            "base": [2.0, 2.1, 2.2],
            "above": [2.5, 2.61, 2.7],
            "below": [1.5, 1.61, 1.7],
            "like": [2.0, 2.2, 2.1],
            "lost": [math.inf, math.inf, 2.0],
        }
    ),
    "val_loss",
    against="base",
)


@pytest.mark.parametrize(
    ("parts", "came_out"),
    [
        ({"a": True, "b": True}, True),
        ({"a": True, "b": False}, False),
        ({"a": None, "b": False}, False),
        ({"a": True, "b": None}, None),
    ],
)
def test_all_parts_must_come_out(parts, came_out):
    before = Table(title="before", head=("x",), rows=[["1"]])
    given = Finding(verdict="So.", came_out=None, tables=[before], figures={"slope": 1.0})
    finding = with_predictions(given, parts)
    assert finding.came_out is came_out
    wrong = [part for part, answer in parts.items() if answer is False]
    assert finding.verdict == (f"So. Predicted, but not so: {wrong[0]}." if wrong else "So.")
    assert [table.title for table in finding.tables] == ["before", "What was predicted"]
    words = {True: "yes", False: "no", None: "cannot be told"}
    assert finding.tables[1].rows == [[part, words[answer]] for part, answer in parts.items()]
    assert finding.figures == {"slope": 1.0, "predictions": parts}


def test_an_arm_that_trains_nowhere_has_the_largest_value_0():
    figures = {"largest_that_trains": {"a": 0.03, "b": None}}
    finding = Finding(verdict="", came_out=None, figures=figures)
    assert dict(largest(finding)) == {"a": 0.03, "b": 0.0}


@pytest.mark.parametrize(
    ("arm", "answers"),
    [
        ("above", (False, True, False)),
        ("below", (True, False, False)),
        ("like", (None, None, True)),
        ("lost", (None, None, None)),
    ],
)
def test_a_direction_is_seen_or_not(arm: str, answers: tuple[bool | None, ...]) -> None:
    found = tuple(is_seen(FINDING, arm, d) for d in (LOWER, HIGHER, NO_DIFFERENCE))
    assert found == answers


@pytest.mark.parametrize(
    ("interval", "answer"),
    [((0.1, 0.2), True), ((-0.1, 0.1), None), ((0.9, 1.1), None), ((-2.0, 3.0), None),
     ((1.1, 1.2), False), ((-1.0, -0.5), False), ((-math.inf, math.inf), None)],
)  # fmt: skip
def test_an_interval_is_inside_outside_or_neither(
    interval: tuple[float, float], answer: bool | None
) -> None:
    assert within(interval, 0.0, 1.0) is answer


def test_a_difference_may_have_bounds() -> None:
    assert differs_by(FINDING, "above", 0.4, 0.6) is True
    assert differs_by(FINDING, "above", -math.inf, 0.3) is False
    assert differs_by(FINDING, "lost", -math.inf, 0.3) is None
