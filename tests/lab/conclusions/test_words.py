"""How findings are written: digits, sentences and tables for screens of any width."""

from __future__ import annotations

from typing import Any

import pytest

from groundup.lab.conclusions import differences, sweep
from groundup.lab.conclusions.words import (
    at_x,
    joined,
    lines,
    metric_words,
    number,
    outcomes,
    p_words,
    range_words,
    reading,
    table_lines,
)
from groundup.lab.experiment import Concluded, Finding, Table
from tests.lab.results import made_up


@pytest.mark.parametrize(
    ("value", "scale", "written"),
    [
        (-0.0031234, 0.0092, "-0.0031"),
        (1.23456, 0.2, "1.23"),
        (12345.6, 30.0, "12,346"),
        (-0.0004, 0.9, "0.00"),
        (0.0, 0.0, "0.000"),
        (2.5, 0.0, "2.500"),
        (3.21e-7, 1e-8, "3.21e-07"),
    ],
)
def test_a_number_has_the_digits_that_its_uncertainty_leaves(
    value: float, scale: float, written: str
) -> None:
    assert number(value, scale) == written


def test_small_things_in_words() -> None:
    assert number(0.25, 0.01, sign=True) == "+0.250"
    assert range_words(-0.012, 0.006) == "-0.0120 to 0.0060"
    assert [at_x(x) for x in (12.0, 0.0003, 1e-5, 100_000.0)] == [
        "12",
        "0.0003",
        "1e-05",
        "100,000",
    ]
    assert [p_words(p) for p in (0.0, 0.000999, 0.0432, 1.0)] == ["<0.001", "<0.001", "0.043", "1"]
    assert joined(["a"]) == "a"
    assert joined(["a", "b", "c"]) == "a, b and c"
    assert joined(["a, before", "a, after", "b"]) == "a, before; a, after and b"
    assert metric_words("val_loss") == "validation loss"
    assert metric_words("mean_cosine") == "mean cosine"


TABLE = Table(
    title="Losses",
    head=("arm", "difference", "95% interval"),
    rows=[("RMS norm, before and after", "-0.10", "-0.12 to -0.08"), ("none", "too few", "")],
)


def test_a_table_stands_in_columns() -> None:
    assert table_lines(TABLE, 80) == [
        "arm                         difference    95% interval",
        "RMS norm, before and after       -0.10  -0.12 to -0.08",
        "none                           too few",
    ]


def test_a_long_name_is_broken() -> None:
    assert table_lines(TABLE, 44) == [
        "arm               difference    95% interval",
        "RMS norm, before",
        "and after              -0.10  -0.12 to -0.08",
        "none                 too few",
    ]


def test_on_a_narrow_screen_cells_stand_below_each_other() -> None:
    assert table_lines(TABLE, 32) == [
        "RMS norm, before and after",
        "  difference: -0.10",
        "  95% interval: -0.12 to -0.08",
        "none",
        "  difference: too few",
    ]


def findings() -> list[Finding]:
    base, more = [2.5, 2.52, 2.48], [2.6, 2.63, 2.57]
    arms: dict[str, list[Any]] = {
        "layer norm, before": base,
        "RMS norm, before and after": more,
        "none": [None] * 3,
    }
    run = {"train_loss": 2.5, "trains": True, "unigram_entropy": 3.31}
    swept = {"layer norm, before": {x: [run] for x in (0.0001, 0.001, 0.01)}}
    return [
        differences(made_up(arms), "val_loss", "layer norm, before"),
        sweep(made_up(swept, x_name="learning rate")),
    ]


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("which", [0, 1])
def test_a_finding_fits_on_a_screen(which: int, width: int) -> None:
    finding = findings()[which]
    shown = lines(finding, width)
    assert max(map(len, shown)) <= width
    assert " ".join(shown).startswith(finding.verdict)


@pytest.mark.parametrize(
    ("came_out", "said"),
    [
        ([True], "The prediction came out."),
        ([None], "The prediction is left open."),
        ([True, True], "2 of 2 predictions came out."),
        ([True, False, False], "1 of 3 predictions came out; not that of s1 and s2."),
        ([None, False, True], "1 of 3 predictions came out; not that of s1; left open: s0."),
    ],
)
def test_how_many_predictions_came_out(came_out: list[bool | None], said: str) -> None:
    studies = [made_up({"a": [1.0]}, name=f"s{i}").study for i in range(len(came_out))]
    found = [Finding(verdict="So.", came_out=one) for one in came_out]
    assert outcomes(list(map(Concluded, studies, found))) == said


def test_how_differences_are_read_is_told_where_there_are_any() -> None:
    with_differences, without = findings()
    assert "Holm" in reading([without, with_differences])
    assert reading([without]) == ""
