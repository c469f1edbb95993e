"""Line charts as SVG that needs no script, at any width, each with its figures in a table.

The axes are laid out in percent and the curves stretch with the box (their strokes do not), so
that letters keep their size on a phone and on a desktop.
"""

from __future__ import annotations

import bisect
import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from groundup.base.words import counted
from groundup.plan.units import number as short
from groundup.report.page import esc, figure, fold, table
from groundup.runs.record import Point

T = TypeVar("T")

BUCKETS = 400
"""A curve is drawn from at most this many pairs of points: finer than a screen shows."""
TABLE_ROWS = 40
COLOURS = 6
DASHES = 4
DOTS = 60
FEW = 20
ABSURD = 1e100
LOG_FROM = 100.0
"""Positive values that span more than this ratio are drawn on a logarithmic axis."""


def drawable(point: Point) -> bool:
    """Tell whether a point has a place on paper: NaN, infinity and absurd sizes have none."""
    return abs(point[0]) < ABSURD and abs(point[1]) < ABSURD


@dataclass(frozen=True, kw_only=True)
class Series:
    """A named curve; a value that is not finite leaves a gap.

    `colour` and `dash` choose among few that stay apart for colour-blind eyes; `dots` marks each
    point; `faint` lies behind; `reference` is a level to compare with, not a measurement.
    """

    name: str
    points: Sequence[Point]
    spread: Sequence[Point] = ()
    """The interval (low, high) of each point, where one is known."""
    colour: int = 0
    dash: int = 0
    dots: bool = False
    faint: bool = False
    reference: bool = False

    @property
    def css(self) -> str:
        """The classes that give the curve its looks."""
        looks = f"c{self.colour % COLOURS} d{self.dash % DASHES}"
        return looks + " faint" * self.faint + " reference" * self.reference

    @cached_property
    def finite(self) -> list[Point]:
        """The points that can be drawn."""
        return [point for point in self.points if drawable(point)]

    @property
    def marked(self) -> bool:
        """Whether each point has a dot: few points would be hard to see without."""
        return self.dots or (len(self.points) <= FEW and not self.reference)


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Curves in one frame, with what stands on its axes; units belong into the labels."""

    title: str
    series: Sequence[Series]
    x_label: str = "step"
    y_label: str = ""
    x_log: bool = False
    from_zero: bool = False
    remark: str = ""


@dataclass(frozen=True)
class Axis:
    """A stretch of numbers, linear or logarithmic."""

    low: float
    high: float
    step: float
    """Distance between ticks; 0 makes the axis logarithmic, with ticks at powers of ten."""

    def place(self, value: float) -> float:
        """Return where `value` lies: 0 at the low end, 1 at the high end."""
        if not self.step:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Return round numbers along the axis."""
        if not self.step:
            first, last = round(math.log10(self.low)), round(math.log10(self.high))
            return [10.0**e for e in range(first, last + 1, 1 + (last - first) // 6)]
        first = math.ceil(self.low / self.step - 1e-6)
        last = math.floor(self.high / self.step + 1e-6)
        return [i * self.step for i in range(first, last + 1)]


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)


def _vertical_axis(values: Sequence[float], from_zero: bool) -> Axis:
    """Return an axis from round number to round number around `values`."""
    low, high = min(values), max(values)
    if low > 0 and high / low > LOG_FROM and not from_zero:
        return Axis(10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high)), 0.0)
    low = min(0.0, low) if from_zero else low
    if high - low <= abs(high) * 1e-9:  # a constant: give it room above and below
        room = abs(high) * 0.1 or 1.0
        low, high = low - room, high + room
    step = _round_step((high - low) / 5)
    return Axis(math.floor(low / step + 1e-6) * step, math.ceil(high / step - 1e-6) * step, step)


def _horizontal_axis(values: Sequence[float]) -> Axis:
    """Return an axis from zero to the last of `values`, in whole numbers if they are whole."""
    high = max(values) or 1.0
    step = _round_step(high / 5)
    return Axis(0.0, high, max(1.0, step) if all(v.is_integer() for v in values) else step)


def thin(points: Sequence[Point], buckets: int = BUCKETS) -> list[Point]:
    """Return at most 2 points a bucket, its lowest and its highest, so that no spike is lost.

    A bucket without a finite value becomes one NaN point: a gap.
    """
    if len(points) <= 2 * buckets:
        return list(points)
    kept: list[Point] = []
    for i in range(buckets):
        part = points[i * len(points) // buckets : (i + 1) * len(points) // buckets]
        finite = [p for p in part if drawable(p)]
        if not finite:
            kept.append((part[0][0], math.nan))
            continue
        extremes = {min(finite, key=lambda p: p[1]), max(finite, key=lambda p: p[1])}
        kept += sorted(extremes)
    return kept


def spread(items: Sequence[T], most: int) -> list[T]:
    """Return at most `most` of `items`, evenly spread, with the first and the last."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def smooth(points: Sequence[Point]) -> list[Point]:
    """Return the mean of about a fiftieth of the points around each, which does not lag behind.

    The window begins narrow, because losses fall steeply at first, and is cut off at the end.
    Values that are not finite are left out of the means and stay as gaps.
    """
    values = [y if math.isfinite(y) else 0.0 for _, y in points]
    sums = list(itertools.accumulate(values, initial=0.0))
    counts = list(itertools.accumulate((math.isfinite(y) for _, y in points), initial=0))
    reach, out = max(1, len(points) // 100), []
    for i, (x, y) in enumerate(points):
        half = min(reach, i)
        first, end = i - half, min(i + half + 1, len(points))
        finite = math.isfinite(y)
        mean = (sums[end] - sums[first]) / (counts[end] - counts[first]) if finite else y
        out.append((x, mean))
    return out


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    x_label: str = "step",
    y_label: str = "",
    from_zero: bool = False,
    remark: str = "",
) -> str:
    """Return a figure of `series` with legend, description and table of figures, as HTML."""
    name = re.sub(r"\W+", "-", title.lower())
    heading = f'<h3 id="{name}">{esc(title)}</h3>'
    drawn = [s for s in series if s.finite]
    measured = [s for s in drawn if not s.reference]
    if not measured:
        return f'<figure>{heading}<p class="none">No figures yet.</p></figure>'
    x_axis, y_axis = axes(drawn, from_zero)
    scale = ", ".join(filter(None, [y_label, "" if y_axis.step else "logarithmic"]))
    return (
        f'<figure tabindex="0" aria-labelledby="{name}">{heading}{_legend(drawn)}'
        f'<p class="axis">{esc(scale)}</p>'
        f'<svg class="plot" role="img" aria-labelledby="{name}-title {name}-text">'
        f'<title id="{name}-title">{esc(title)}</title>'
        f'<desc id="{name}-text">{esc(in_words(drawn, x_label))}</desc>'
        f"{marks(drawn, x_axis, y_axis, x_label)}</svg>"
        f'<p class="axis x">{esc(x_label)}</p>'
        f"{f'<figcaption>{esc(remark)}</figcaption>' if remark else ''}"
        f"{fold('Figures as a table', _table(title, measured, x_label))}</figure>"
    )


def axes(series: Sequence[Series], from_zero: bool = False) -> tuple[Axis, Axis]:
    """Return the horizontal and the vertical axis around curves, of which one is measured."""
    measured = [p[0] for s in series if not s.reference for p in s.finite]
    return (
        _horizontal_axis(measured),
        _vertical_axis([p[1] for s in series for p in s.finite], from_zero),
    )


def marks(series: Sequence[Series], x_axis: Axis, y_axis: Axis, x_label: str) -> str:
    """Return the grid, the curves and the dots for the inside of an SVG of any size."""
    dots = "".join(_dots(s, x_axis, y_axis, x_label) for s in series if s.marked)
    return _grid(x_axis, y_axis) + _curves(series, x_axis, y_axis) + dots


def _legend(series: Sequence[Series]) -> str:
    items = (
        f'<li><span class="key {s.css}{" dotted" * s.marked}" aria-hidden="true"></span>'
        f"{esc(s.name)}</li>"
        for s in series
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def _grid(x_axis: Axis, y_axis: Axis) -> str:
    parts = []
    for tick in y_axis.ticks():
        at = f"{100 * (1 - y_axis.place(tick)):.2f}%"
        parts.append(f'<line x1="0" x2="100%" y1="{at}" y2="{at}"/>')
        parts.append(f'<text class="y" x="-8" y="{at}" dy=".33em">{short(round(tick, 12))}</text>')
    for tick in x_axis.ticks():
        at = f"{100 * x_axis.place(tick):.2f}%"
        parts.append(
            f'<text class="x" x="{at}" y="100%" dy="1.5em">{short(round(tick, 12))}</text>'
        )
    return f'<g class="grid">{"".join(parts)}</g>'


def _curves(series: Sequence[Series], x_axis: Axis, y_axis: Axis) -> str:
    paths = []
    for s in series:
        if s.reference:
            y = s.finite[0][1]
            points: Sequence[Point] = [(x_axis.low, y), (x_axis.high, y)]
        else:
            points = thin(s.points)
        paths.append(f'<path class="{s.css}" d="{_path(points, x_axis, y_axis)}"/>')
    return (
        '<svg class="curves" viewBox="0 0 1000 1000" preserveAspectRatio="none" width="100%" '
        f'height="100%">{"".join(paths)}</svg>'
    )


def _path(points: Sequence[Point], x_axis: Axis, y_axis: Axis) -> str:
    """Write points as path data; a lone point becomes a line of no length, seen as a dot."""
    commands, pen_down = [], False
    for x, y in points:
        visible = drawable((x, y))
        if visible:
            at = f"{1000 * x_axis.place(x):.1f} {1000 * (1 - y_axis.place(y)):.1f}"
            commands.append(f"L{at}" if pen_down else f"M{at}h0")
        pen_down = visible
    return "".join(commands)


def _dots(series: Series, x_axis: Axis, y_axis: Axis, x_label: str) -> str:
    words = esc(series.name)
    circles = (
        f'<circle cx="{100 * x_axis.place(x):.2f}%" cy="{100 * (1 - y_axis.place(y)):.2f}%" '
        f'r="3.5"><title>{words}, {x_label} {short(x)}: {figure(y)}</title></circle>'
        for x, y in spread(series.finite, DOTS)
    )
    return f'<g class="{series.css}">{"".join(circles)}</g>'


def in_words(series: Sequence[Series], x_label: str) -> str:
    """Say what the curves show: where each begins, ends and is lowest."""
    sentences = []
    for s in series:
        if s.reference:
            sentences.append(f"For comparison, {s.name}.")
            continue
        (x0, y0), (x1, y1) = s.finite[0], s.finite[-1]
        lowest = min(s.finite, key=lambda p: p[1])
        gaps = len(s.points) - len(s.finite)
        broken = f"; {counted(gaps, 'value')} not finite"
        sentences.append(
            f"{s.name}: {figure(y0)} at {x_label} {short(x0)}, {figure(y1)} at {x_label} "
            f"{short(x1)}, lowest {figure(lowest[1])} at {x_label} {short(lowest[0])}"
            f"{broken if gaps else ''}."
        )
    return " ".join(sentences)


def _table(title: str, series: Sequence[Series], x_label: str) -> str:
    """Return the figures at the places of the sparsest series, each the latest known there."""
    clear = [s for s in series if not s.faint and len(s.points) > 1] or series
    sparsest = min(clear, key=lambda s: (not s.dots, len(s.points)))
    places = [p[0] for p in spread(sparsest.points, TABLE_ROWS)]
    known = [([p[0] for p in s.points], s.points) for s in series]
    rows = []
    for place in places:
        cells = [short(place)]
        for xs, points in known:
            i = bisect.bisect_right(xs, place)
            cells.append(figure(points[i - 1][1]) if i else "–")
        rows.append(cells)
    most = max(len(s.points) for s in series)
    note = f" ({len(rows)} of {most:,} points)" if len(rows) < most else ""
    return table([esc(x_label), *(esc(s.name) for s in series)], rows, f"{title}{note}", "figures")
