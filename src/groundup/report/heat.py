"""A small matrix as coloured cells: the stronger the colour, the further from zero."""

from __future__ import annotations

import math

from groundup.report.axes import Axis
from groundup.report.charts import HeatMap
from groundup.report.frame import Frame
from groundup.report.page import esc, figure, table
from groundup.report.picture import Key, Picture

WRITTEN, WRITTEN_ON_PAGE = 12, 6
"""Cells hold their figures where there are at most so many columns; a page may be a phone's."""
LABELS = 12
NAME_LETTERS = 8
ROW, LOWEST, HIGHEST = 26.0, 120.0, 400.0
DARK = 0.72
"""From this share of the full colour on, letters have the colour of the ground."""


def heat_picture(chart: HeatMap) -> Picture | None:
    """Return what is drawn of a matrix; None where no value is finite."""
    values = [v for row in chart.values for v in row]
    if not any(map(math.isfinite, values)):
        return None
    negative = any(v < 0 for v in values)
    rows, columns = len(chart.rows), len(chart.columns)
    signs = [("c0", 1), *([("c1", -1)] if negative else [])]
    keys = [
        Key(name=f"full colour: {'−' * (sign < 0)}{chart.most:g}", css=css, shape=1, line=False)
        for css, sign in signs
    ]
    return Picture(
        title=chart.title,
        x_label=chart.x_label,
        y_label=chart.y_label,
        x=Axis(0, columns, ()),
        y=Axis(0, rows, ()),
        marks=lambda frame: _marks(chart, frame),
        keys=keys,
        words=_in_words(chart),
        table=_table(chart),
        remark=chart.remark,
        height=min(HIGHEST, max(LOWEST, ROW * rows)),
    )


def _marks(chart: HeatMap, frame: Frame) -> str:
    cells = (
        _cell(chart, frame, i, j) for i in range(len(chart.rows)) for j in range(len(chart.columns))
    )
    return "".join(cells) + _labels(chart, frame)


def _cell(chart: HeatMap, frame: Frame, i: int, j: int) -> str:
    """Return a cell, with its figure where there is room."""
    value, n = chart.values[i][j], len(chart.rows)
    share = min(1.0, abs(value) / chart.most) if math.isfinite(value) else 0.0
    said = f"{chart.y_label} {chart.rows[i]}, {chart.x_label} {chart.columns[j]}: {figure(value)}"
    rect = (
        f'<rect class="cell c{int(value < 0)}" x="{frame.left(j)}" y="{frame.top(n - i)}" '
        f'width="{frame.left(1)}" height="{frame.top(n - 1)}" fill-opacity="{share:.2f}">'
        f"<title>{esc(said.strip())}</title></rect>"
    )
    if len(chart.columns) > (WRITTEN if frame.size else WRITTEN_ON_PAGE):
        return rect
    css = "in-cell on-dark" if share > DARK else "in-cell"
    at = f'x="{frame.left(j + 0.5)}" y="{frame.top(n - i - 0.5)}" dy=".35em"'
    text = f"{value:.2f}".replace("-", "−") if math.isfinite(value) else "–"
    return f'{rect}<text class="{css}" {at}>{text}</text>'


def _labels(chart: HeatMap, frame: Frame) -> str:
    n, parts = len(chart.rows), []
    for i in range(0, n, 1 + (n - 1) // LABELS):
        at = f'x="-8" y="{frame.top(n - i - 0.5)}" dy=".33em"'
        parts.append(f'<text class="y" {at}>{esc(_short(chart.rows[i]))}</text>')
    for j in range(0, len(chart.columns), 1 + (len(chart.columns) - 1) // LABELS):
        at = f'x="{frame.left(j + 0.5)}" y="{frame.height}" dy="1.5em"'
        parts.append(f'<text class="x" {at}>{esc(_short(chart.columns[j]))}</text>')
    return f'<g class="grid">{"".join(parts)}</g>'


def _short(name: str) -> str:
    return name if len(name) <= NAME_LETTERS else f"{name[: NAME_LETTERS - 1]}…"


def _in_words(chart: HeatMap) -> str:
    known = [
        (value, f"{chart.y_label} {row}, {chart.x_label} {column}")
        for row, values in zip(chart.rows, chart.values, strict=True)
        for column, value in zip(chart.columns, values, strict=True)
        if math.isfinite(value)
    ]
    (low, lowest), (high, highest) = min(known), max(known)
    size = f"{len(chart.rows)} rows, {len(chart.columns)} columns"
    return f"{size}; lowest {figure(low)} at {lowest}, highest {figure(high)} at {highest}."


def _table(chart: HeatMap) -> str:
    rows = [
        [esc(name), *map(figure, values)]
        for name, values in zip(chart.rows, chart.values, strict=True)
    ]
    return table([esc(chart.y_label), *map(esc, chart.columns)], rows, chart.title, "figures")
