"""The frame of a report: safe text, tables, and a page that needs nothing from outside."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from groundup.base.file_names import PAGE_MARK
from groundup.base.output import TURNS
from groundup.plan.units import decimals
from groundup.report.style import STYLE

# HTML has no control characters, and UTF-8 no lone surrogates; a sample may hold both.
_UNSAFE = {code: "\ufffd" for code in [*range(32), *range(127, 160)] if chr(code) not in "\n\t"}
_UNSAFE |= dict.fromkeys(TURNS, "\ufffd")

# Even if a text slipped through unescaped, a browser would load and run nothing.
# Pictures may stand in the page itself.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def esc(value: Any) -> str:
    """Return `value` as text that no HTML parser takes for markup."""
    text = str(value).translate(_UNSAFE)
    return html.escape(text.encode("utf-8", "replace").decode("utf-8"))


class Section(NamedTuple):
    """A part of a page under its own heading; `body` is HTML, the other two are plain text."""

    anchor: str
    title: str
    body: str


def page(title: str, header: str, sections: Iterable[Section], style: str = "") -> str:
    """Return a whole HTML page; empty sections are left out, and `style` adds to `STYLE`."""
    shown = [section for section in sections if section.body]
    links = "".join(f'<li><a href="#{s.anchor}">{esc(s.title)}</a></li>' for s in shown)
    bodies = "".join(
        f'<section id="{s.anchor}"><h2>{esc(s.title)}</h2>{s.body}</section>\n' for s in shown
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="color-scheme" content="light dark">
{PAGE_MARK}
<title>{esc(title)}</title>
<style>{STYLE}{style}</style></head>
<body><a class="skip" href="#main">Skip to the content</a>
<header><div class="wide">{header}<nav aria-label="Sections"><ul>{links}</ul></nav></div></header>
<main id="main" class="wide">
{bodies}</main>
<footer><div class="wide">Written by groundup. This page is complete in itself and works
offline.</div></footer></body></html>
"""


def table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str, css: str = "") -> str:
    """Return a table of HTML cells whose first column names the row; it scrolls sideways alone."""
    names = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in rest) + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<p class="caption">{esc(caption)}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="Table: {esc(caption)}">'
        f'<table class="{css}">'
        f"<thead><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def fold(summary: str, body: str) -> str:
    """Return `body` folded away under the text `summary`."""
    return f"<details><summary>{esc(summary)}</summary>{body}</details>"


def cards(facts: Iterable[tuple[str, str, str]]) -> str:
    """Return key figures: (what, figure, remark) in plain text."""
    items = "".join(
        f"<div><dt>{esc(what)}</dt><dd>{esc(figure)}</dd><dd>{esc(remark)}</dd></div>"
        for what, figure, remark in facts
    )
    return f'<dl class="cards">{items}</dl>'


def bar(share: float, css: str = "") -> str:
    """Return a bar of `share` (0 to 1) of its cell's width; the figure beside it says the same."""
    width = 100 * min(1.0, max(0.0, share)) if math.isfinite(share) else 0.0
    return f'<span class="bar {css}" aria-hidden="true"><i style="width:{width:.1f}%"></i></span>'


def figure(value: float | None) -> str:
    """Write a measured number with about four digits that mean something; None is a dash."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2e}" if 0 < abs(value) < 1e-4 else f"{value:.4g}"


def interval_figures(value: float, low: float, high: float) -> tuple[str, str]:
    """Write a value, and its interval, with the digits that the interval's width lends meaning."""
    half = (high - low) / 2
    if not 1e-4 <= half < math.inf or abs(value) >= 1000:
        return figure(value), f"{figure(low)} to {figure(high)}"
    digits = decimals(half)
    written = [f"{round(x, digits) + 0.0:.{digits}f}" for x in (value, low, high)]  # never -0
    return written[0], f"{written[1]} to {written[2]}"
