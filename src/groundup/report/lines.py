"""Curves with their intervals: axes around them, marks, words and a table."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from groundup.base.words import counted
from groundup.plan.units import number as short
from groundup.report.axes import WIDE, Axis, axis_along, axis_around, with_room
from groundup.report.charts import INTERVAL, Chart, Series
from groundup.report.frame import Frame
from groundup.report.page import esc, figure, interval_figures, table
from groundup.report.picture import Key, Picture
from groundup.report.points import drawable, spread, thin
from groundup.runs.record import Point

TABLE_ROWS = 40
DOTS = 60
ASIDE = 4.0
"""Pixels between bars of several curves at the same place."""


def line_picture(chart: Chart) -> Picture | None:
    """Return what is drawn of curves; None where nothing that was measured can be."""
    series = [s for s in (_placed(s, chart) for s in chart.series) if s.finite]
    measured = [s for s in series if not s.reference]
    if not measured:
        return None
    x, y = _axes(chart, series)
    names = {s.name for s in measured}
    return Picture(
        title=chart.title,
        x_label=x.named(chart.x_label),
        y_label=y.named(chart.y_label),
        x=x,
        y=y,
        marks=lambda frame: _marks(series, frame, chart.x_label),
        keys=[Key(name=s.name, css=s.css, shape=s.shape, line=s.line) for s in series],
        words=in_words(series, chart),
        table=_table(chart, [s for s in chart.series if s.name in names]),
        remark=" ".join(filter(None, [chart.remark, *_said(chart, series)])),
    )


def _placed(series: Series, chart: Chart) -> Series:
    """Return a curve without what a logarithmic axis has no place for: it leaves a gap."""
    if not (chart.x_log or chart.y_log):
        return series
    points = [p if _has_place(p, series, chart) else (p[0], math.nan) for p in series.points]
    return replace(series, points=points)


def _has_place(point: Point, series: Series, chart: Chart) -> bool:
    x_log = chart.x_log and not series.level
    return (point[0] > 0 or not x_log) and (point[1] > 0 or not chart.y_log)


def _axes(chart: Chart, series: Sequence[Series]) -> tuple[Axis, Axis]:
    xs = [p[0] for s in series if not s.level for p in s.finite]
    ys = [p[1] for s in series for p in s.finite]
    log = chart.y_log or (min(ys) > 0 and max(ys) / min(ys) > WIDE and not chart.from_zero)
    ends = [end for s in series for _, ends in _intervals(s) for end in ends if end > 0 or not log]
    few = all(s.marked or s.reference for s in series)
    marked = [p[0] for s in series if s.marked for p in s.finite]
    return (
        with_room(axis_along(xs, chart.x_log, few), marked),
        axis_around([*ys, *ends], log, chart.from_zero),
    )


def _intervals(series: Series) -> Iterator[tuple[Point, Point]]:
    """Yield each point that is drawn with its interval, where it has one."""
    for point, ends in zip(series.points, series.spread, strict=False):
        if drawable(point) and drawable(ends):
            yield point, ends


def _said(chart: Chart, series: Sequence[Series]) -> Iterator[str]:
    """Say what the marks beside the curves are, and what is not drawn."""
    drawn = [s for s in series if any(_intervals(s))]
    marks = [
        *["bars"] * any(s.marked for s in drawn),
        *["bands"] * any(not s.marked for s in drawn),
    ]
    if marks:
        yield f"{' and '.join(marks).capitalize()}: {INTERVAL}."
    for s in chart.series:
        if left_out := sum(drawable(p) and not _has_place(p, s, chart) for p in s.points):
            yield (
                f"Not drawn, as a logarithmic axis has no place for it: "
                f"{counted(left_out, 'value')} of {s.name} not above zero."
            )


def _marks(series: Sequence[Series], frame: Frame, x_label: str) -> str:
    """Return the grid, intervals, curves and dots."""
    shifts = _shifts(series)
    still, moved, dots = [], [], []
    for s, shift in zip(series, shifts, strict=True):
        band = _band(s, frame) if s.spread and not (s.marked or s.level) else ""
        path = f'<path class="{s.css}" d="{frame.path(_curve(s, frame))}"/>' if s.line else ""
        own = _dots(s, frame, x_label) if s.marked else ""
        if shift:
            inside = frame.curves(path) + own
            moved.append(f'<g transform="translate({shift:g} 0)">{inside}</g>')
        else:
            still.append((band, path))
            dots.append(own)
    curves = "".join(band for band, _ in still) + "".join(path for _, path in still)
    return frame.grid() + frame.curves(curves) + "".join(moved) + "".join(dots)


def _shifts(series: Sequence[Series]) -> list[float]:
    """Return by how many pixels each curve stands aside, so that bars do not hide each other."""
    barred = [i for i, s in enumerate(series) if s.marked and s.spread]
    middle = (len(barred) - 1) / 2
    places = {i: (at - middle) * ASIDE for at, i in enumerate(barred)}
    return [places.get(i, 0.0) for i in range(len(series))]


def _curve(series: Series, frame: Frame) -> Sequence[Point]:
    if series.level:
        level = series.finite[0][1]
        return [(frame.x.low, level), (frame.x.high, level)]
    return thin(series.points)


def _band(series: Series, frame: Frame) -> str:
    """Return the intervals of a curve as a band, broken where the curve or they have gaps."""
    pairs = list(zip(series.points, series.spread, strict=True))
    path = ""
    for known, part in groupby(pairs, lambda pair: drawable(pair[0]) and drawable(pair[1])):
        if known:
            ends = [(p[0], _clipped(low, frame), high) for p, (low, high) in part]
            upper = thin([(x, high) for x, _, high in ends])
            lower = thin([(x, low) for x, low, _ in ends])
            path += frame.path([*upper, *reversed(lower)]) + "Z"
    return f'<path class="{series.hue} band" d="{path}"/>'


def _clipped(low: float, frame: Frame) -> float:
    return max(low, frame.y.low) if frame.y.log else low


def _dots(series: Series, frame: Frame, x_label: str) -> str:
    """Return the dots of a curve, and the bars of their intervals."""
    known, marks = dict(_intervals(series)), []
    for point in spread(series.finite, DOTS):
        x, y = point
        if point in known:
            low, high = known[point]
            marks.append(frame.line((x, _clipped(low, frame)), (x, high), "interval"))
        said = f"{series.name}, {x_label} {short(x)}: {_figures(y, known.get(point))}"
        marks.append(frame.dot(point, series.shape or 0, title=esc(said)))
    return f'<g class="{series.css}">{"".join(marks)}</g>'


def _figures(value: float, interval: Point | None) -> str:
    """Write a value with its interval, if it has one."""
    if interval is None or not drawable(interval):
        return figure(value)
    written, between = interval_figures(value, *interval)
    return f"{written} ({between})"


def in_words(series: Sequence[Series], chart: Chart) -> str:
    """Say what the curves show: where each begins, ends and is lowest."""
    return " ".join(
        f"For comparison, {s.name}." if s.reference else _course(s, chart) for s in series
    )


def _course(series: Series, chart: Chart) -> str:
    known = dict(_intervals(series))
    first, last = series.finite[0], series.finite[-1]
    lowest = min(series.finite, key=lambda point: point[1])
    begins, ends, least = (
        f"{_figures(point[1], known.get(point))} at {chart.x_label} {short(point[0])}"
        for point in (first, last, lowest)
    )
    gaps = len(series.points) - len(series.finite)
    what = "not drawn" if chart.x_log or chart.y_log else "not finite"
    broken = f"; {counted(gaps, 'value')} {what}" if gaps else ""
    return f"{series.name}: {begins}, {ends}, lowest {least}{broken}."


def _table(chart: Chart, series: Sequence[Series]) -> str:
    """Return the figures: all of them where points are few, else at the sparsest series' places."""
    if all(s.marked and len(s.points) <= TABLE_ROWS for s in series):
        places = sorted({p[0] for s in series for p in s.points})
        columns = [_exact(s, places) for s in series]
    else:
        clear = [s for s in series if not s.faint and len(s.points) > 1] or series
        sparsest = min(clear, key=lambda s: (not s.dots, len(s.points)))
        places = [p[0] for p in spread(sparsest.points, TABLE_ROWS)]
        columns = [_latest(s, places) for s in series]
    rows = [[short(x), *cells] for x, *cells in zip(places, *columns, strict=True)]
    most = max(len(s.points) for s in series)
    note = f" ({len(rows)} of {most:,} points)" if len(rows) < most else ""
    head = [esc(chart.x_label), *(esc(s.name) for s in series)]
    return table(head, rows, f"{chart.title}{note}", "figures")


def _exact(series: Series, places: Sequence[float]) -> list[str]:
    known = {p[0]: _cell(series, i) for i, p in enumerate(series.points)}
    return [known.get(place, "–") for place in places]


def _latest(series: Series, places: Sequence[float]) -> list[str]:
    """Return at each place the latest figure that is known there."""
    xs = [p[0] for p in series.points]
    found = [bisect.bisect_right(xs, place) for place in places]
    return [_cell(series, i - 1) if i else "–" for i in found]


def _cell(series: Series, i: int) -> str:
    return _figures(series.points[i][1], series.spread[i] if series.spread else None)
