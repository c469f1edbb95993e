"""Axes hold their values, and carry round numbers."""

from __future__ import annotations

import math

import pytest

from groundup.report.axes import ROOM, Axis, axis_along, axis_around, with_room


def labels(axis: Axis) -> list[str]:
    return [axis.label(tick) for tick in axis.ticks]


RATES = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1]


@pytest.mark.parametrize(
    ("values", "few", "written"),
    [
        (RATES, False, ["0.0001", "0.001", "0.01", "0.1"]),
        (RATES, True, ["0.0001", "0.0003", "0.001", "0.003", "0.01", "0.03", "0.1"]),
        ([1, 2, 4, 8, 16, 48], False, ["1", "2", "5", "10", "20"]),
        ([1, 2, 4, 8, 16, 48], True, ["1", "2", "4", "8", "16", "48"]),
        ([8, 24, 48], False, ["10", "20", "30", "40"]),
        ([1e-20, 1e-2], False, ["1e−20", "1e−16", "1e−12", "1e−8", "1e−4"]),
        ([2e5, 1e7], False, ["2e5", "5e5", "1e6", "2e6", "5e6", "1e7"]),
        ([1e-5, 10], False, ["1e−5", "1e−3", "1e−1", "1e1"]),
        ([5], False, ["4", "6", "8", "10"]),
    ],
)
def test_a_logarithmic_axis(values: list[float], few: bool, written: list[str]) -> None:
    axis = axis_along(values, log=True, few=few)
    assert labels(axis) == written
    low, high = min(values), max(values)
    if low < high:
        assert (axis.place(low), axis.place(high)) == (0, 1)
        assert axis.place(math.sqrt(low * high)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("values", "ends", "written"),
    [
        ([1, 400], (0, 400), ["0", "100", "200", "300", "400"]),
        ([4, 48], (0, 48), ["0", "10", "20", "30", "40"]),
        ([128, 256], (128, 256), ["150", "200", "250"]),
        ([-3, 2], (-3, 2), ["−3", "−2", "−1", "0", "1", "2"]),
        ([-5, -5], (-6, -5), ["−6", "−5"]),
        ([0], (0, 1), ["0", "1"]),
        ([0.25, 0.5], (0.25, 0.5), ["0.25", "0.3", "0.35", "0.4", "0.45", "0.5"]),
    ],
)
def test_a_horizontal_axis_begins_at_zero_unless_values_do_not(
    values: list[float], ends: tuple[float, float], written: list[str]
) -> None:
    axis = axis_along(values)
    assert (axis.low, axis.high) == ends
    assert labels(axis) == written


@pytest.mark.parametrize(
    ("values", "log", "ends"),
    [([4, 16], True, (ROOM, 1 - ROOM)), ([1, 12], False, (None, 1 - ROOM))],
)
def test_there_is_room_for_marks_at_the_ends(
    values: list[float], log: bool, ends: tuple[float | None, float]
) -> None:
    bare = axis_along(values, log)
    axis = with_room(bare, values)
    assert axis.ticks == bare.ticks
    low, high = axis.place(values[0]), axis.place(values[-1])
    assert high == pytest.approx(ends[1], abs=0.005)
    if ends[0] is None:  # the axis begins at zero, where there is no mark
        assert axis.low == 0
    else:
        assert low == pytest.approx(ends[0], abs=0.005)


def test_values_that_lie_close_are_no_ticks() -> None:
    assert labels(axis_along([1, 2, 3, 48], few=True)) == ["0", "10", "20", "30", "40"]
    assert labels(axis_along([8, 16, 32, 48], few=True)) == ["8", "16", "32", "48"]


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([-0.23, 0.02], ["−0.25", "−0.2", "−0.15", "−0.1", "−0.05", "0", "0.05"]),
        ([1e-12, 2e-12], ["1e-12", "1.2e-12", "1.4e-12", "1.6e-12", "1.8e-12", "2e-12"]),
        ([5e-6, 2e-5], ["5e-6", "1e-5", "1.5e-5", "2e-5"]),
        ([1e-3, 10.0], ["0.001", "0.01", "0.1", "1", "10"]),
    ],
)
def test_a_vertical_axis(values: list[float], written: list[str]) -> None:
    assert labels(axis_around(values)) == [text.replace("-", "−") for text in written]


def test_a_vertical_axis_may_be_logarithmic_in_a_short_range() -> None:
    axis = axis_around([0.4, 3.0], log=True)
    assert labels(axis) == ["0.5", "1", "2"]
    assert 0 < axis.place(0.4) < axis.place(3.0) < 1
    assert axis.place(2.0) - axis.place(1.0) == pytest.approx(axis.place(1.0) - axis.place(0.5))
