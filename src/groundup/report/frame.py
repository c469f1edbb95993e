"""The inside of a chart, between its two axes: where things stand, and what they look like there.

On a page the frame is as wide as the reader's screen: places are percentages, and curves are drawn
on 1000 x 1000 units that stretch with it (their strokes do not). In a file its size is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from groundup.report.axes import Axis
from groundup.report.points import drawable
from groundup.runs.record import Point

DOT = 3.5
SHAPES = (
    "",  # a circle
    "-3.2,-3.2 3.2,-3.2 3.2,3.2 -3.2,3.2",
    "0,-4.6 4.6,0 0,4.6 -4.6,0",
    "0,-4.4 4.2,3.2 -4.2,3.2",
)
"""What marks a point: circle, square, diamond, triangle, as corners around it."""
STRETCHED = 1000.0


@dataclass(frozen=True)
class Frame:
    """Two axes, and the size of what they enclose: in units of a file, or that of a page."""

    x: Axis
    y: Axis
    size: tuple[float, float] | None = None

    @property
    def width(self) -> str:
        """The right end."""
        return f"{self.size[0]:g}" if self.size else "100%"

    @property
    def height(self) -> str:
        """The lower end."""
        return f"{self.size[1]:g}" if self.size else "100%"

    def left(self, x: float) -> str:
        """Return where `x` lies from the left, as an attribute."""
        return _length(self.x.place(x), self.size and self.size[0])

    def top(self, y: float) -> str:
        """Return where `y` lies from above, as an attribute."""
        return _length(1 - self.y.place(y), self.size and self.size[1])

    def path(self, points: Sequence[Point]) -> str:
        """Write points as path data; a lone point becomes a line of no length, seen as a dot."""
        width, height = self.size or (STRETCHED, STRETCHED)
        commands, pen_down = [], False
        for x, y in points:
            visible = drawable((x, y))
            if visible:
                at = f"{width * self.x.place(x):.1f} {height * (1 - self.y.place(y)):.1f}"
                commands.append(f"L{at}" if pen_down else f"M{at}h0")
            pen_down = visible
        return "".join(commands)

    def curves(self, paths: str) -> str:
        """Return what paths need around them to lie in this frame."""
        if self.size:
            return paths
        return (
            '<svg class="curves" viewBox="0 0 1000 1000" preserveAspectRatio="none" width="100%" '
            f'height="100%">{paths}</svg>'
        )

    def dot(self, point: Point, shape: int = 0, css: str = "", title: str = "") -> str:
        """Return a mark at a point, with the words that it shows when pointed at."""
        left, top = self.left(point[0]), self.top(point[1])
        inside = f"<title>{title}</title>" if title else ""
        if not SHAPES[shape]:
            return f'<circle{css_of(css)} cx="{left}" cy="{top}" r="{DOT}">{inside}</circle>'
        mark = f'<polygon{css_of(css)} points="{SHAPES[shape]}">{inside}</polygon>'
        if self.size:
            return f'<g transform="translate({left} {top})">{mark}</g>'
        return f'<svg x="{left}" y="{top}" overflow="visible">{mark}</svg>'

    def line(self, start: Point, end: Point, css: str = "") -> str:
        """Return a straight line between two points, along one of the axes."""
        (x1, y1), (x2, y2) = start, end
        return (
            f'<line{css_of(css)} x1="{self.left(x1)}" x2="{self.left(x2)}" '
            f'y1="{self.top(y1)}" y2="{self.top(y2)}"/>'
        )

    def grid(self, upright: bool = False) -> str:
        """Return ticks and, from those of the vertical axis (or the other), lines across."""
        parts = []
        for tick in self.y.ticks:
            at = self.top(tick)
            if not upright:
                parts.append(f'<line x1="0" x2="{self.width}" y1="{at}" y2="{at}"/>')
            parts.append(f'<text class="y" x="-8" y="{at}" dy=".33em">{self.y.label(tick)}</text>')
        for tick in self.x.ticks:
            at = self.left(tick)
            if upright:
                parts.append(f'<line x1="{at}" x2="{at}" y1="0" y2="{self.height}"/>')
            label = f'x="{at}" y="{self.height}" dy="1.5em"'
            parts.append(f'<text class="x" {label}>{self.x.label(tick)}</text>')
        return f'<g class="grid">{"".join(parts)}</g>'


def css_of(css: str) -> str:
    """Return a class attribute, or nothing."""
    return f' class="{css}"' if css else ""


def _length(share: float, whole: float | None) -> str:
    return f"{100 * share:.2f}%" if whole is None else f"{whole * share:.1f}"
