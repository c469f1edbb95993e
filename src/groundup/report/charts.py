"""What is drawn: curves with their intervals, differences against zero.

`figure.chart_figure` makes a part of a page of each, `drawing.drawing` a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from groundup.report.points import drawable
from groundup.runs.record import Point

COLOURS = 6
DASHES = 4
FEW = 20
INTERVAL = "95% interval"


@dataclass(frozen=True, kw_only=True)
class Series:
    """A named curve; a value that is not finite leaves a gap.

    `colour` and `dash` choose among few that stay apart for colour-blind eyes; a dash has a shape
    of dots, too. `dots` marks each point, without `line` nothing else does; `faint` lies behind;
    `reference` is to compare with, not a measurement: a level, or a curve of several points.
    """

    name: str
    points: Sequence[Point]
    spread: Sequence[Point] = ()
    """The 95% interval (low, high) of each point, where one is known; NaN where it is not."""
    colour: int = 0
    dash: int = 0
    dots: bool = False
    line: bool = True
    faint: bool = False
    reference: bool = False

    def __post_init__(self) -> None:
        if self.spread and len(self.spread) != len(self.points):
            raise ValueError(
                f"{self.name}: {len(self.spread)} intervals for {len(self.points)} points; "
                "expected one each, (nan, nan) where none is known"
            )

    @property
    def hue(self) -> str:
        """The class that gives it its colour."""
        return f"c{self.colour % COLOURS}"

    @property
    def css(self) -> str:
        """The classes that give the curve its looks."""
        looks = f"{self.hue} d{self.dash % DASHES}"
        return looks + " faint" * self.faint + " reference" * self.reference

    @cached_property
    def finite(self) -> list[Point]:
        """The points that can be drawn."""
        return [point for point in self.points if drawable(point)]

    @property
    def marked(self) -> bool:
        """Whether each point has a dot: few points would be hard to see without."""
        few = len(self.points) <= FEW and not self.reference
        return self.dots or not self.line or few

    @property
    def level(self) -> bool:
        """Whether it is one value to compare with, at any x."""
        return self.reference and len(self.points) == 1

    @property
    def shape(self) -> int | None:
        """The shape of its dots, if it has any."""
        return self.dash % DASHES if self.marked else None


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Curves in one frame, with what stands on its axes; units belong into the labels.

    A logarithmic axis has no place for values that are not above zero: they are left out, and told.
    Without `y_log` the vertical one is logarithmic where positive values span more than 1 to 100,
    unless it is to begin `from_zero`.
    """

    title: str
    series: Sequence[Series]
    x_label: str = "step"
    y_label: str = ""
    x_log: bool = False
    y_log: bool = False
    from_zero: bool = False
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A named value with its interval, such as a difference; it may be NaN, then `remark` says why.

    `seen` tells whether it counts as different from zero, where that was asked.
    """

    name: str
    value: float
    low: float
    high: float
    seen: bool | None = None
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class IntervalChart:
    """Values with 95% intervals, one below the other, and a line at zero: a forest plot."""

    title: str
    rows: Sequence[Row]
    x_label: str
    """What is shown, with its unit and with the side on which it is better."""


AnyChart = Chart | IntervalChart
