"""Charts as parts of a page: SVG that needs no script, at any width, each with its table.

Letters and dots keep their size on a phone and on a desktop; the frame stretches with the box.
"""

from __future__ import annotations

import re

from groundup.report.charts import AnyChart, Chart
from groundup.report.frame import Frame
from groundup.report.lines import line_picture
from groundup.report.page import esc, fold
from groundup.report.picture import KEY_WIDTH, Key, Picture, key_mark

ROW_HEIGHT = 2.9
"""Of a row of intervals or of a matrix, in letters' heights."""


def picture(chart: AnyChart) -> Picture | None:
    """Return what is drawn of a chart of any kind; None where there is nothing to draw."""
    if isinstance(chart, Chart):
        return line_picture(chart)
    raise NotImplementedError


def chart_figure(chart: AnyChart) -> str:
    """Return a figure with legend, description and table of figures, as HTML."""
    name = re.sub(r"\W+", "-", chart.title.lower())
    heading = f'<h3 id="{name}">{esc(chart.title)}</h3>'
    drawn = picture(chart)
    if drawn is None:
        return f'<figure>{heading}<p class="none">No figures yet.</p></figure>'
    remark = f"<figcaption>{esc(drawn.remark)}</figcaption>" if drawn.remark else ""
    return (
        f'<figure tabindex="0" aria-labelledby="{name}">{heading}{_legend(drawn)}'
        f'<p class="axis">{esc(drawn.y_label)}</p>'
        f'<svg class="plot" role="img" aria-labelledby="{name}-title {name}-text">'
        f'<title id="{name}-title">{esc(drawn.title)}</title>'
        f'<desc id="{name}-text">{esc(drawn.words)}</desc>'
        f"{drawn.marks(Frame(drawn.x, drawn.y))}</svg>"
        f'<p class="axis x">{esc(drawn.x_label)}</p>{remark}'
        f"{fold('Figures as a table', drawn.table)}</figure>"
    )


def _legend(drawn: Picture) -> str:
    items = "".join(f"<li>{_key(key)}{esc(key.name)}</li>" for key in drawn.keys)
    return f'<ul class="legend">{items}</ul>'


def _key(key: Key) -> str:
    return (
        f'<svg class="key" width="{KEY_WIDTH}" height="12" aria-hidden="true"><g class="plot">'
        f"{key_mark(key)}</g></svg>"
    )
