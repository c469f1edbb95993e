"""Values with their intervals, one below the other, and a line at zero: a forest plot."""

from __future__ import annotations

from collections.abc import Iterator

from groundup.report.axes import Axis, axis_around
from groundup.report.charts import INTERVAL, IntervalChart, Row
from groundup.report.frame import Frame
from groundup.report.page import esc, interval_figures, table
from groundup.report.picture import Key, Picture
from groundup.report.points import drawable

ROW = 44.0
NAME_AT, MARK_AT = 0.34, 0.68
"""How far down in its row each stands."""
SEEN = {
    True: Key(name="difference seen", css="c0", shape=2),
    False: Key(name="no difference seen", css="c5 d1", shape=0, hollow=True),
    None: Key(name="", css="c0", shape=0),
}


def interval_picture(chart: IntervalChart) -> Picture | None:
    """Return what is drawn of intervals; None where no row has any."""
    known = [row for row in chart.rows if _known(row)]
    if not known:
        return None
    values = [v for row in known for v in (row.value, row.low, row.high)]
    x = axis_around([*values, 0.0])
    asked = {row.seen for row in known if row.seen is not None}
    return Picture(
        title=chart.title,
        x_label=x.named(chart.x_label),
        x=x,
        y=Axis(0, len(chart.rows), ()),
        marks=lambda frame: _marks(chart, frame),
        keys=[SEEN[seen] for seen in (True, False) if seen in asked],
        words=" ".join(_in_words(chart)),
        table=_table(chart),
        remark=f"Bars: {INTERVAL}.",
        height=ROW * len(chart.rows),
        named_inside=True,
    )


def _known(row: Row) -> bool:
    return drawable((row.value, 0.0)) and drawable((row.low, row.high))


def _marks(chart: IntervalChart, frame: Frame) -> str:
    n = len(chart.rows)
    zero = frame.line((0.0, 0), (0.0, n), "zero")
    rows = (_row(row, n - i, frame) for i, row in enumerate(chart.rows))
    return frame.grid(upright=True) + zero + "".join(rows)


def _row(row: Row, top: float, frame: Frame) -> str:
    """Return a row whose upper edge is at `top`: its name, and below it bar and dot."""
    at = frame.top(top - NAME_AT)
    shown = f'<text class="name" x="0" y="{at}">{esc(_named(row))}</text>'
    if not _known(row):
        return shown
    if frame.size:  # a page has a table below
        shown += f'<text class="value" x="{frame.width}" y="{at}">{_value(row)}</text>'
    y, key = top - MARK_AT, SEEN[row.seen]
    bar = frame.line((row.low, y), (row.high, y), "interval")
    css = "hollow" if key.hollow else ""
    dot = frame.dot((row.value, y), key.shape or 0, css, f"{esc(row.name)}: {_value(row)}")
    return f'{shown}<g class="{key.css}">{bar}{dot}</g>'


def _named(row: Row) -> str:
    return f"{row.name}: {row.remark}" if row.remark else row.name


def _value(row: Row) -> str:
    value, interval = interval_figures(row.value, row.low, row.high)
    return f"{value} ({interval})"


def _in_words(chart: IntervalChart) -> Iterator[str]:
    for row in chart.rows:
        value = f", {_value(row)}" if _known(row) else ""
        seen = f", {SEEN[row.seen].name}" if row.seen is not None and value else ""
        yield f"{_named(row)}{value}{seen}."


def _table(chart: IntervalChart) -> str:
    asked = any(row.seen is not None for row in chart.rows)
    rows = []
    for row in chart.rows:
        value, interval = "–", "–"
        if _known(row):
            value, interval = interval_figures(row.value, row.low, row.high)
        seen = SEEN[row.seen].name or "–"
        rows.append([esc(_named(row)), value, interval, *([seen] if asked else [])])
    head = ["", esc(chart.x_label), INTERVAL, *(["seen"] if asked else [])]
    return table(head, rows, chart.title, "figures")
