"""Axes: a stretch of numbers, linear or logarithmic, with round numbers along it."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from groundup.plan.units import number

WIDE = 100.0
"""Positive values that span more than this ratio are drawn on a logarithmic axis."""
LATE = 0.5
"""Values that begin after this part of the way from zero have an axis that begins with them."""
FEW = 8
APART = 0.12
"""Ticks stand at the values themselves where they are few and so far apart (1: the axis)."""
TICKS = 6
PLAIN = (1e-4, 1e6)
"""Ticks of a logarithmic axis are written with exponents, all of them, where one is beyond."""
ROOM = 0.03
"""Of an axis, at an end where a mark would lie on what is written beside it."""


@dataclass(frozen=True)
class Axis:
    """A stretch of numbers; `ticks` are those that are written along it."""

    low: float
    high: float
    ticks: Sequence[float]
    log: bool = False

    def label(self, tick: float) -> str:
        """Write a tick: short, as the others, and without what rounding left in its last digits."""
        value = float(f"{tick:.10g}")
        if self.log and not all(PLAIN[0] * 0.999 <= t < PLAIN[1] for t in self.ticks):
            power = math.floor(math.log10(value) + 1e-9)
            return f"{value / 10.0**power:.4g}e{power}".replace("-", "−")
        return re.sub(r"e-0*", "e-", number(value)).replace("-", "−")

    def named(self, label: str) -> str:
        """Return what is written beside the axis."""
        return ", ".join(filter(None, [label, "logarithmic" if self.log else ""]))

    def place(self, value: float) -> float:
        """Return where `value` lies: 0 at the low end, 1 at the high end."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def axis_along(values: Sequence[float], log: bool = False, few: bool = False) -> Axis:
    """Return an axis along `values`, from zero unless they lie far from it.

    Ticks are whole numbers if the values are, and the values themselves if `few` allows it and they
    lie apart. A logarithmic axis takes positive values.
    """
    low, high = min(values), max(values)
    if log:
        axis = _log_axis(low, high)
    else:
        if 0 <= low < LATE * high or low == high >= 0:
            low, high = 0.0, high or 1.0
        step = _round_step((high - low) / 5) if high > low else 1.0
        low = low - step if high == low else low
        whole = all(float(v).is_integer() for v in values)
        axis = Axis(low, high, _multiples(low, high, max(1.0, step) if whole else step))
    return _at_values(axis, values) if few else axis


def with_room(axis: Axis, values: Sequence[float]) -> Axis:
    """Return an axis with room for marks at those of its ends at which one of `values` lies."""
    begins, ends = (ROOM * (end in values) for end in (axis.low, axis.high))
    if axis.log:
        ratio = axis.high / axis.low
        return replace(axis, low=axis.low / ratio**begins, high=axis.high * ratio**ends)
    length = axis.high - axis.low
    return replace(axis, low=axis.low - begins * length, high=axis.high + ends * length)


def axis_around(values: Sequence[float], log: bool = False, from_zero: bool = False) -> Axis:
    """Return an axis from round number to round number around `values`.

    It is logarithmic if `log` says so, or by itself where positive values span a wide range.
    """
    low, high = min(values), max(values)
    if low > 0 and high / low > WIDE and not from_zero:
        return _log_axis(10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high)))
    if log:
        room = (high / low) ** 0.05
        return _log_axis(low / room, high * room)
    low = min(0.0, low) if from_zero else low
    if high - low <= abs(high) * 1e-9:  # a constant: give it room above and below
        room = abs(high) * 0.1 or 1.0
        low, high = low - room, high + room
    step = _round_step((high - low) / 5)
    low, high = math.floor(low / step + 1e-6) * step, math.ceil(high / step - 1e-6) * step
    return Axis(low, high, _multiples(low, high, step))


def _log_axis(low: float, high: float) -> Axis:
    if high <= low * 1.001:  # a constant
        low, high = low / 2, high * 2
    return Axis(low, high, _log_ticks(low, high), log=True)


def _log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten, or times 1, 2 and 5 where these are few; multiples in a short range."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for digits in ((1,), (1, 2, 5)):
        ticks = [d * 10.0**e for e in range(first, last + 1) for d in digits]
        ticks = [t for t in ticks if low * 0.999 <= t <= high * 1.001]
        if len(ticks) >= 3:
            return ticks[:: 1 + (len(ticks) - 1) // TICKS]
    return [t for t in _multiples(low, high, _round_step((high - low) / 5)) if t > 0]


def _at_values(axis: Axis, values: Sequence[float]) -> Axis:
    distinct = sorted(set(values))
    places = [axis.place(v) for v in distinct]
    gaps = [b - a for a, b in itertools.pairwise(places)]
    if len(distinct) <= FEW and all(gap >= APART for gap in gaps):
        return Axis(axis.low, axis.high, distinct, axis.log)
    return axis


def _multiples(low: float, high: float, step: float) -> list[float]:
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    return [i * step for i in range(first, last + 1)]


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
