"""Charts show what was measured, and tell what they cannot show."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from groundup.report.charts import AnyChart, Chart, IntervalChart, Row, Series
from groundup.report.drawing import WIDTH, drawing
from groundup.report.figure import chart_figure
from groundup.report.page import interval_figures

HOSTILE = "</title><script>alert(1)</script> & \x00"
NAN = math.nan
SVG = "{http://www.w3.org/2000/svg}"


def sweep(**changes: Any) -> Chart:
    points = [(1e-4, 3.0), (1e-3, 2.5), (1e-2, 2.0), (1e-1, NAN)]
    spread = [(2.9, 3.1), (2.4, 2.6), (NAN, NAN), (NAN, NAN)]
    series = [
        Series(name="before", points=points, spread=spread),
        Series(name="entropy", points=[(0.0, 3.31)], colour=5, dash=1, reference=True),
    ]
    settings = {"title": "Loss", "series": series, "x_label": "rate", "x_log": True}
    return Chart(**{**settings, **changes})


INTERVALS = IntervalChart(
    title="Differences",
    x_label="nats",
    rows=[
        Row(name="none", value=0.2, low=0.1, high=0.3, seen=True),
        Row(name="after", value=-0.05, low=-0.1, high=0.02, seen=False),
        Row(name="gone", value=NAN, low=NAN, high=NAN, remark="lost in 5 of 5 seeds"),
    ],
)


def cells(figure: str) -> list[str]:
    return re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", figure)


def places(figure: str, tag: str, key: str) -> list[float]:
    return [float(v) for v in re.findall(rf'<{tag}[^>]* {key}="([-\d.]+)%"', figure)]


def test_points_stand_where_the_logarithm_of_their_x_does() -> None:
    shown = chart_figure(sweep())
    assert places(shown, "circle", "cx") == pytest.approx([2.83, 50, 97.17], abs=0.01)
    assert "rate, logarithmic" in shown


def test_an_interval_is_drawn_told_and_in_the_table() -> None:
    shown = chart_figure(sweep())
    bars = re.findall(r'<line class="interval" x1="([\d.]+)%" x2="([\d.]+)%"', shown)
    assert bars == [("2.83", "2.83"), ("50.00", "50.00")]
    assert "before: 3.00 (2.90 to 3.10) at rate 0.0001, 2 at rate 0.01, lowest 2 at rate" in shown
    assert "1 value not drawn" in shown
    assert "Bars: 95% interval." in shown
    assert cells(shown)[2:10] == [
        "0.0001", "3.00 (2.90 to 3.10)", "0.001", "2.50 (2.40 to 2.60)", "0.01", "2",
        "0.1", "not a number",
    ]  # fmt: skip


def test_a_level_lies_across_whatever_its_x() -> None:
    level = r'<path class="c5 d1 reference" d="M([\d.]+) [^L"]*L([\d.]+) '
    assert ("0.0", "1000.0") in re.findall(level, chart_figure(sweep()))


def test_bars_of_several_curves_stand_beside_each_other() -> None:
    spread = [(1.0, 3.0), (2.0, 4.0)]
    series = [
        Series(name=name, points=[(1.0, 2.0), (2.0, 3.0)], spread=spread if name != "c" else ())
        for name in "abc"
    ]
    shown = chart_figure(Chart(title="x", series=series))
    assert re.findall(r"translate\(([-\d]+) 0\)", shown) == ["-2", "2"]
    assert "translate" not in chart_figure(Chart(title="x", series=series[1:]))
    assert len(places(shown, "circle", "cx")) == 6


def test_the_axis_has_room_for_the_intervals() -> None:
    points, spread = [(1.0, 5.0), (2.0, 5.5)], [(1.0, 9.0), (5.4, 5.6)]
    shown = chart_figure(Chart(title="x", series=[Series(name="a", points=points, spread=spread)]))
    ends = [y for key in ("y1", "y2") for y in places(shown, 'line class="interval"', key)]
    assert len(ends) == 4
    assert all(0 <= y <= 100 for y in ends)


def test_many_points_have_a_band_that_is_broken_where_they_are() -> None:
    points = [(float(i), NAN if i == 50 else 2.0) for i in range(100)]
    spread = [(1.0, 3.0)] * 100
    chart = Chart(title="x", series=[Series(name="a", points=points, spread=spread, colour=2)])
    band = re.findall(r'<path class="c2 band" d="([^"]*)"', chart_figure(chart))[0]
    assert band.count("M") == band.count("Z") == 2
    assert "Bands: 95% interval." in chart_figure(chart)
    with pytest.raises(ValueError, match="a: 1 intervals for 2 points"):
        Series(name="a", points=points[:2], spread=spread[:1])


def test_what_a_logarithmic_axis_cannot_show_is_told_and_in_the_table() -> None:
    points = [(0.0, 1.0), (1.0, 0.5), (2.0, 0.0), (3.0, -1.0)]
    series = [Series(name="fading", points=points, spread=[(-1.0, 2.0)] * 4)]
    shown = chart_figure(Chart(title="x", series=series, x_log=True, y_log=True))
    assert len(places(shown, "circle", "cx")) == 1
    assert "3 values of fading not above zero." in shown
    assert cells(shown)[3::2] == [f"{y} (-1.0 to 2.0)" for y in ("1.0", "0.5", "0.0", "-1.0")]


def test_points_without_a_line_and_a_fitted_curve() -> None:
    fit = [(1.0, 3.0), (10.0, 2.0), (100.0, 1.5)]
    series = [
        Series(name="measured", points=[(2.0, 2.6), (50.0, 1.6)], line=False),
        Series(name="fit", points=fit, reference=True, colour=5),
    ]
    shown = chart_figure(Chart(title="Scaling", series=series, x_log=True))
    paths = re.findall(r'<path class="[^"]*" d="M([\d.]+) [^L"]*L([\d.]+) [^L"]*L([\d.]+) ', shown)
    assert paths == [("0.0", "500.0", "1000.0")]
    assert len(places(shown, "circle", "cx")) == 2
    assert cells(shown)[0:2] == ["step", "measured"]


def test_a_table_holds_every_value_where_points_are_few() -> None:
    series = [
        Series(name="a", points=[(1.0, 1.5), (2.0, 2.5), (3.0, 3.5)]),
        Series(name="b", points=[(2.0, 7.5)]),
    ]
    shown = cells(chart_figure(Chart(title="x", series=series)))
    assert shown[3:] == ["1", "1.5", "–", "2", "2.5", "7.5", "3", "3.5", "–"]


def test_intervals_stand_around_zero_seen_or_not() -> None:
    shown = chart_figure(INTERVALS)
    zero = float(re.findall(r'<line class="zero" x1="([\d.]+)%"', shown)[0])
    bars = [
        tuple(map(float, bar))
        for bar in re.findall(r'interval" x1="([\d.]+)%" x2="([\d.]+)%"', shown)
    ]
    (low, high), (lower, higher) = bars
    assert zero < low < high
    assert lower < zero < higher
    assert shown.count('class="hollow"') == 1
    names = re.findall(r'<text class="name" x="0" y="([\d.]+)%">(\w+)', shown)
    assert [name for _, name in names] == ["none", "after", "gone"]
    heights = [float(y) for y, _ in names]
    bars_at = places(shown, 'line class="interval"', "y1")
    assert heights[0] < bars_at[0] < heights[1] < bars_at[1] < heights[2]
    assert cells(shown)[4:] == [
        "none", "0.20", "0.10 to 0.30", "difference seen",
        "after", "-0.050", "-0.100 to 0.020", "no difference seen",
        "gone: lost in 5 of 5 seeds", "–", "–", "–",
    ]  # fmt: skip
    assert "after, -0.050 (-0.100 to 0.020), no difference seen. gone: lost in" in shown
    assert "-0.050 (-0.100 to 0.020)</text>" in drawing(INTERVALS)


@pytest.mark.parametrize(
    "chart",
    [
        Chart(title="Empty", series=[]),
        Chart(title="Lost", series=[Series(name="a", points=[(1.0, math.inf)])]),
        IntervalChart(title="Lost", rows=INTERVALS.rows[2:], x_label="nats"),
    ],
)
def test_nothing_to_draw_is_said(chart: AnyChart) -> None:
    assert "No figures yet" in chart_figure(chart)
    assert "No figures to draw" in drawing(chart)


CHARTS = [sweep(), INTERVALS]


def hostile(chart: AnyChart) -> AnyChart:
    if isinstance(chart, Chart):
        series = [replace(s, name=HOSTILE) for s in chart.series]
        return replace(chart, title=HOSTILE, x_label=HOSTILE, y_label=HOSTILE, series=series)
    rows = [replace(row, name=HOSTILE, remark=HOSTILE) for row in chart.rows]
    return replace(chart, title=HOSTILE, x_label=HOSTILE, rows=rows)


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: type(chart).__name__)
def test_hostile_names_stay_text(chart: AnyChart) -> None:
    for shown in (chart_figure(hostile(chart)), drawing(hostile(chart))):
        assert "<script" not in shown
        assert "\x00" not in shown
    ElementTree.fromstring(drawing(hostile(chart)))


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: type(chart).__name__)
def test_a_drawing_shows_what_a_page_does(chart: AnyChart) -> None:
    page, file = chart_figure(chart), drawing(chart)
    root = ElementTree.fromstring(file)
    texts = {"".join(text.itertext()) for text in root.iter(f"{SVG}text")}
    inside = re.findall(r"<text[^>]*>([^<]*)</text>", page)
    assert set(inside) <= texts
    assert chart.title in texts
    assert chart.x_label in {text.partition(", log")[0] for text in texts}
    words = re.findall(r"<desc[^>]*>(.*?)</desc>", page)[0]
    assert root.findtext(f"{SVG}desc") == words
    assert "%" not in re.sub(
        r"<style>.*?</style>|<text.*?</text>|<rect width.*?/>", "", file, flags=re.DOTALL
    )


def test_names_of_several_charts_on_a_page_differ() -> None:
    ids = [re.findall(r'id="([^"]*)"', chart_figure(c)) for c in (sweep(), sweep(x_label="speed"))]
    assert len({name for names in ids for name in names}) == 6


def legend(names: Sequence[str]) -> list[tuple[float, float]]:
    series = [Series(name=name, points=[(1.0, 2.0)]) for name in names]
    root = ElementTree.fromstring(drawing(Chart(title="x", series=series)))
    texts = [text for text in root.iter(f"{SVG}text") if text.text in names]
    return [(float(text.attrib["x"]), float(text.attrib["y"])) for text in texts]


def test_a_long_legend_wraps() -> None:
    names = [f"arm {i} of a rather long name" for i in range(6)]
    found = legend(names)
    assert len(found) == 6
    assert len({y for _, y in found}) > 1
    assert all(x + 6 * len(names[0]) < WIDTH for x, _ in found)
    assert len({y for _, y in legend(["a", "b", "c"])}) == 1


@pytest.mark.parametrize(
    ("value", "low", "high", "written"),
    [
        (0.10257, 0.07713, 0.128, ("0.103", "0.077 to 0.128")),
        (-0.0004, -0.0104, 0.0096, ("0.000", "-0.010 to 0.010")),
        (21.26, 11.2, 31.3, ("21", "11 to 31")),
        (3.5e-7, 3.4e-7, 3.6e-7, ("3.50e-07", "3.40e-07 to 3.60e-07")),
        (2.0, 2.0, 2.0, ("2", "2 to 2")),
        (1.0, NAN, NAN, ("1", "not a number to not a number")),
    ],
)
def test_a_value_is_as_exact_as_its_interval(
    value: float, low: float, high: float, written: tuple[str, str]
) -> None:
    assert interval_figures(value, low, high) == written
