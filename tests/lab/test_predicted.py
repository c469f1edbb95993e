"""Predictions of several parts."""

from __future__ import annotations

import pytest

from groundup.lab.experiment import Finding, Table
from groundup.lab.predicted import largest, with_predictions


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
    assert finding.verdict == "So."
    assert [table.title for table in finding.tables] == ["before", "What was predicted"]
    words = {True: "yes", False: "no", None: "cannot be told"}
    assert finding.tables[1].rows == [[part, words[answer]] for part, answer in parts.items()]
    assert finding.figures == {"slope": 1.0, "predictions": parts}


def test_an_arm_that_trains_nowhere_has_the_largest_value_0():
    figures = {"largest_that_trains": {"a": 0.03, "b": None}}
    finding = Finding(verdict="", came_out=None, figures=figures)
    assert dict(largest(finding)) == {"a": 0.03, "b": 0.0}
