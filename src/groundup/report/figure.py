"""Charts as parts of a page: SVG that needs no script, at any width, each with its table.

Letters and dots keep their size on a phone and on a desktop; the frame stretches with the box.
"""

from __future__ import annotations

import re
import zlib

from groundup.report.charts import AnyChart, Chart
from groundup.report.frame import Frame
from groundup.report.intervals import interval_picture
from groundup.report.lines import line_picture
from groundup.report.page import esc, fold
from groundup.report.picture import KEY_WIDTH, Key, Picture, key_mark

LETTER_HEIGHT = 16
"""Pixels, in which the height of a picture is given; on a page it grows with the letters."""


def picture(chart: AnyChart) -> Picture | None:
    """Return what is drawn of a chart of any kind; None where there is nothing to draw."""
    return line_picture(chart) if isinstance(chart, Chart) else interval_picture(chart)


def chart_figure(chart: AnyChart) -> str:
    """Return a figure with legend, description and table of figures, as HTML."""
    drawn = picture(chart)
    name = _identity(chart.title, drawn)
    heading = f'<h3 id="{name}">{esc(chart.title)}</h3>'
    if drawn is None:
        return f'<figure>{heading}<p class="none">No figures yet.</p></figure>'
    remark = f"<figcaption>{esc(drawn.remark)}</figcaption>" if drawn.remark else ""
    looks = "plot named" if drawn.named_inside else "plot"
    height = f' style="height:{drawn.height / LETTER_HEIGHT:g}rem"' if drawn.height else ""
    return (
        f'<figure tabindex="0" aria-labelledby="{name}">{heading}{_legend(drawn)}'
        f'<p class="axis">{esc(drawn.y_label)}</p>'
        f'<svg class="{looks}" role="img"{height} aria-labelledby="{name}-title {name}-text">'
        f'<title id="{name}-title">{esc(drawn.title)}</title>'
        f'<desc id="{name}-text">{esc(drawn.words)}</desc>'
        f"{drawn.marks(Frame(drawn.x, drawn.y))}</svg>"
        f'<p class="axis x">{esc(drawn.x_label)}</p>{remark}'
        f"{fold('Figures as a table', drawn.table)}</figure>"
    )


def _identity(title: str, drawn: Picture | None) -> str:
    """Return a name that no other chart of a page has, unless it shows the same."""
    shown = f"{title} {drawn.words if drawn else ''}".encode("utf-8", "replace")
    return f"{re.sub(r'[^a-z0-9]+', '-', title.lower())}-{zlib.crc32(shown):08x}"


def _legend(drawn: Picture) -> str:
    items = "".join(f"<li>{_key(key)}{esc(key.name)}</li>" for key in drawn.keys)
    return f'<ul class="legend">{items}</ul>'


def _key(key: Key) -> str:
    return (
        f'<svg class="key" width="{KEY_WIDTH}" height="12" aria-hidden="true"><g class="plot">'
        f"{key_mark(key)}</g></svg>"
    )
