"""A line chart as a picture of its own: an SVG file, light and dark as the reader's screen is."""

from __future__ import annotations

from collections.abc import Sequence

from groundup.report.charts import Series, axes, in_words, marks
from groundup.report.page import esc
from groundup.report.style import STYLE

WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 60, 30, 72, 48
LETTER = 8.0
"""About the width of a letter of the legend, which has room to spare."""
KEY = 34


def drawing(title: str, series: Sequence[Series], y_label: str) -> str:
    """Return curves over steps, of which at least one has a finite point, as a whole SVG file."""
    drawn = [s for s in series if s.finite]
    x_axis, y_axis = axes(drawn)
    scale = y_label if y_axis.step else f"{y_label}, logarithmic"
    right = f'x="{WIDTH - RIGHT}" y="{HEIGHT - 12}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">\n'
        f"<title>{esc(title)}</title><desc>{esc(in_words(drawn, 'step'))}</desc>\n"
        f"<style>{STYLE}\ntext {{ fill:var(--ink); font:14px system-ui,sans-serif; }}\n"
        f".soft {{ fill:var(--soft); }}</style>\n"
        f'<rect width="100%" height="100%" rx="8" fill="var(--ground)"/>\n'
        f'<g class="plot">{_legend(drawn)}</g>\n'
        f'<text class="soft" x="16" y="{TOP - 16}">{esc(scale)}</text>\n'
        f'<svg x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" '
        f'height="{HEIGHT - TOP - BOTTOM}" overflow="visible"><g class="plot">'
        f"{marks(drawn, x_axis, y_axis, 'step')}</g></svg>\n"
        f'<text class="soft" text-anchor="end" {right}>step</text>\n</svg>\n'
    )


def _legend(series: Sequence[Series]) -> str:
    parts, at = [], 16.0
    for s in series:
        dot = f'<circle class="{s.css}" cx="{at + 12}" cy="24" r="3.5"/>' if s.marked else ""
        parts.append(
            f'<path class="{s.css}" d="M{at} 24h24"/>{dot}'
            f'<text x="{at + KEY}" y="29">{esc(s.name)}</text>'
        )
        at += KEY + LETTER * len(s.name) + 12
    return "".join(parts)
