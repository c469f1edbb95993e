"""Numbers as people write them."""

from __future__ import annotations

import math

MIB = 1 << 20
"""Bytes in a MiB; a MB is 1,000,000."""


def number(value: float) -> str:
    """Write a number briefly: 950, 12,300, 124.4 M, 1.638 G."""
    scaled, prefix = _scaled(value)
    return f"{scaled} {prefix}".rstrip()


def flop(value: float) -> str:
    """Write a number of floating-point operations: 857.2 MFLOP, 1.683 EFLOP."""
    scaled, prefix = _scaled(value)
    return f"{scaled} {prefix}FLOP"


def _scaled(value: float) -> tuple[str, str]:
    for size, prefix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.4g}", prefix
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"), ""


def mib(size: float) -> str:
    """Write a number of bytes in MiB: 621.83 MiB, 12,480 MiB."""
    value = size / MIB
    return f"{value:,.2f} MiB" if value < 10_000 else f"{value:,.0f} MiB"


def duration(seconds: float) -> str:
    """Write a time as people say it: 0.42 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    if not math.isfinite(seconds):
        return "unknown"
    if round(seconds) < 60:
        return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.0f} s"
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    whole = round(seconds)
    large = next(i for i, (_, size) in enumerate(units) if whole >= size)
    (name, size), (small_name, small) = units[large], units[large + 1]
    rest = whole % size // small
    return f"{whole // size} {name} {rest} {small_name}" if rest else f"{whole // size} {name}"
