"""What every kind of chart comes to: axes, marks between them, a legend, words and a table.

`figure.py` makes a part of a page of it, `drawing.py` a file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from groundup.report.axes import Axis
from groundup.report.frame import DOT, SHAPES, Frame, css_of


@dataclass(frozen=True, kw_only=True)
class Key:
    """A line of a legend."""

    name: str
    css: str
    shape: int | None = None
    """Of its dots, if it has any."""
    line: bool = True
    hollow: bool = False


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A chart as it is drawn; `words` describe it to who cannot see it, `table` is HTML."""

    title: str
    x_label: str = ""
    y_label: str = ""
    x: Axis
    y: Axis
    marks: Callable[[Frame], str]
    keys: Sequence[Key]
    words: str
    table: str
    remark: str = ""
    height: float = 0
    """Between the axes, in pixels of 16 to a letter's height; 0 where any height does."""
    named_inside: bool = False
    """Whether names stand above the marks rather than left of the frame."""


KEY_WIDTH = 24


def key_mark(key: Key, x: float = 0, y: float = 6) -> str:
    """Return the sample of a legend's line, whose left end is at (x, y)."""
    middle = x + KEY_WIDTH / 2
    line = f'<path class="{key.css} sample" d="M{x:g} {y:g}h{KEY_WIDTH}"/>' if key.line else ""
    if key.shape is None:
        return line
    css = f"{key.css} hollow" if key.hollow else key.css
    if not SHAPES[key.shape]:
        return f'{line}<circle{css_of(css)} cx="{middle:g}" cy="{y:g}" r="{DOT}"/>'
    mark = f'<polygon{css_of(css)} points="{SHAPES[key.shape]}"/>'
    return f'{line}<g transform="translate({middle:g} {y:g})">{mark}</g>'
