"""A chart as a picture of its own: an SVG file, light and dark as the reader's screen is."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from groundup.report.charts import AnyChart
from groundup.report.figure import picture
from groundup.report.frame import Frame
from groundup.report.page import esc
from groundup.report.picture import KEY_WIDTH, Key, Picture, key_mark
from groundup.report.style import DRAWING_STYLE

WIDTH, HEIGHT = 760, 270
"""Of the picture, and of what lies between the axes."""
EDGE, LEFT, RIGHT = 16, 64, 30
LETTER = 8.2
"""About the width of a letter, with room to spare."""
LINE = 22
NOTHING = "No figures to draw."


def drawing(chart: AnyChart) -> str:
    """Return a chart as a whole SVG file."""
    drawn = picture(chart)
    top, head = _paragraph(chart.title, LINE + 6, "title")
    if drawn is None:
        end, none = _paragraph(NOTHING, top, "soft")
        return _file(chart.title, NOTHING, end, head + none)
    top, legend = _legend(drawn.keys, top)
    top, y_label = _paragraph(drawn.y_label, top, "soft")
    height = drawn.height or HEIGHT
    below = top + height + 54
    remark = ""
    if drawn.remark:
        below, remark = _paragraph(drawn.remark, below, "soft")
    return _file(
        chart.title,
        drawn.words,
        below - 6,
        head + legend + y_label + _framed(drawn, top - 8, height) + remark,
    )


def _framed(drawn: Picture, top: float, height: float) -> str:
    left = RIGHT if drawn.named_inside else LEFT
    width = WIDTH - left - RIGHT
    inside = drawn.marks(Frame(drawn.x, drawn.y, (width, height)))
    label = _text(WIDTH - RIGHT, top + height + 42, drawn.x_label, 'class="soft end"')
    return f'<g class="plot" transform="translate({left} {top:g})">{inside}</g>\n{label}\n'


def _legend(keys: Sequence[Key], top: float) -> tuple[float, str]:
    """Return a legend that begins with a line at `top`, and where the next line stands."""
    parts = []
    x, y = float(EDGE), top
    for key in keys:
        needed = KEY_WIDTH + 8 + LETTER * len(key.name)
        if x > EDGE and x + needed > WIDTH - EDGE:
            x, y = float(EDGE), y + LINE
        mark = f'<g class="plot">{key_mark(key, x, y - 5)}</g>'
        parts.append(f"{mark}{_text(x + KEY_WIDTH + 8, y, key.name)}\n")
        x += needed + 24
    return (y + LINE if keys else top), "".join(parts)


def _paragraph(words: str, top: float, css: str) -> tuple[float, str]:
    """Return text whose first line stands at `top`, and where the next line stands."""
    lines = textwrap.wrap(words, int((WIDTH - 2 * EDGE) / LETTER))
    shown = (_text(EDGE, top + LINE * i, line, f'class="{css}"') for i, line in enumerate(lines))
    return top + LINE * len(lines), "".join(f"{line}\n" for line in shown)


def _text(x: float, y: float, words: str, attributes: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" {attributes}>{esc(words)}</text>'


def _file(title: str, words: str, height: float, inside: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img">\n'
        f"<title>{esc(title)}</title><desc>{esc(words)}</desc>\n"
        f"<style>{DRAWING_STYLE}</style>\n"
        f'<rect width="100%" height="100%" rx="8" fill="var(--ground)"/>\n{inside}</svg>\n'
    )
