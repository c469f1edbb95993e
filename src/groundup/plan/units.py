"""Numbers as people write them."""

from __future__ import annotations

import math

from groundup.base.words import counted

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


def size(n_bytes: float) -> str:
    """Write a number of bytes in powers of 1000: 812 bytes, 64.6 kB, 3.1 MB, 12.0 GB."""
    if round(n_bytes) < 1000:
        return counted(round(n_bytes), "byte")
    units = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
    unit, name = next((u for u in units if n_bytes >= 0.99995 * u[0]), units[-1])
    return f"{n_bytes / unit:,.1f} {name}"


def mib(n_bytes: float) -> str:
    """Write a number of bytes in powers of 1024: 9.80 KiB, 621.83 MiB, 12,480 MiB."""
    if 0 < n_bytes < MIB / 10:
        return f"{n_bytes / 1024:,.2f} KiB"
    value = n_bytes / MIB
    return f"{value:,.2f} MiB" if value < 10_000 else f"{value:,.0f} MiB"


def decimals(scale: float) -> int:
    """Return the decimals with which a number of the size of `scale` has two digits."""
    return max(0, 1 - math.floor(math.log10(abs(scale)))) if scale else 3


def about(value: float) -> str:
    """Write a ratio with two digits that mean something, never with an exponent: 0.038, 1, 110."""
    if not value or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:,.{decimals(value)}f}".removesuffix(".0")


def passes(value: float, what: str = "text") -> str:
    """Write how often a text is read: 0.53 passes over the text, 1 pass over the text."""
    written = about(value)
    return f"{written} pass{'' if written == '1' else 'es'} over the {what}"


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
