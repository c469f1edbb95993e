"""What a value says as a label, and what is changed or refused."""

from __future__ import annotations

from typing import Any

import pytest

from groundup.base.errors import DataError
from groundup.data.labels import Labels, in_order, nearly_equal


@pytest.mark.parametrize(
    ("value", "typed", "label"),
    [
        ("spam", True, "spam"),
        (" spam\t", False, "spam"),
        ("two words", True, "two words"),
        (b"spam", True, "spam"),
        (7, True, "7"),
        (-1.0, True, "-1"),
        (True, True, "true"),
        ("True", False, "True"),
        ("1.0", False, "1"),
        ("1.0", True, "1.0"),
        ("0.5", True, "0.5"),
        ("007", False, "007"),
        ("nan", True, "nan"),
        ("nan", False, None),
        ("NULL", False, None),
        ("none", False, "none"),
        (float("nan"), True, None),
        (None, True, None),
        (" ", False, None),
    ],
)
def test_values(value: Any, typed: bool, label: str | None) -> None:
    assert Labels().read(value, "a.csv, record 1", typed=typed) == label


@pytest.mark.parametrize("value", [0.5, float("inf"), [1], {"a": 1}, b"\xff", "x" * 201, "a\nb"])
def test_no_labels(value: Any) -> None:
    with pytest.raises(DataError, match=r"^a\.csv, record 1: "):
        Labels().read(value, "a.csv, record 1", typed=True)


@pytest.mark.parametrize(
    ("values", "typed", "fits"),
    [
        ([1, 2.0, "3"], True, True),
        (["spam", "3"], True, True),
        (["1", "2.0"], False, True),
        ([1, "spam"], True, False),
        ([1, True], True, False),
        (["1", "spam"], False, False),
        (["spam", True], True, False),
    ],
)
def test_labels_are_of_one_kind(values: list[Any], typed: bool, fits: bool) -> None:
    labels = Labels()
    for number, value in enumerate(values):
        assert labels.read(value, f"record {number}", typed=typed) is not None
    if fits:
        labels.check()
    else:
        with pytest.raises(DataError, match=r"^record 1: .* in record 0 is "):
            labels.check()


def test_what_is_changed_is_told() -> None:
    labels = Labels()
    for number, value in enumerate(["1.0", " 2", "3 ", "4"]):
        labels.read(value, f"record {number}", typed=False)
    assert labels.notices() == [
        "labels such as 1.0 are read as 1: 1 (record 0)",
        "white space around labels is left out: 2 (record 1, …)",
    ]


def test_the_order_of_classes() -> None:
    assert in_order(["10", "9", "10", "-1"]) == ("-1", "9", "10")
    assert in_order(["b", "B", "10", "9"]) == ("10", "9", "B", "b")


def test_nearly_equal() -> None:
    assert nearly_equal(["Ham", "ham", "ham ", "spam", "not spam", "notspam"]) == [
        ("Ham", "ham", "ham "),
        ("not spam", "notspam"),
    ]


def test_one_number_written_differently() -> None:
    written = ["1", "01", "+1", "1.0", "2", "-1", "10", "0", "-0", "v1", "v01"]
    assert sorted(map(sorted, nearly_equal(written))) == [["+1", "01", "1", "1.0"], ["-0", "0"]]
    assert nearly_equal(["1", "2", "3"]) == []
