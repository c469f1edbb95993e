"""Budgets of time: how they are written, and what one that is too small could still show."""

from __future__ import annotations

import re

from groundup.base.errors import UsageError, shown

UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
LONGEST = 30 * 86400


def parse_budget(text: str) -> float:
    """Return the seconds of a budget such as 90s, 30m, 1h or 1.5h."""
    found = re.fullmatch(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*([a-z]+)\s*", text.lower())
    seconds = float(found[1]) * UNITS.get(found[2], 0) if found else 0.0
    if not 0 < seconds <= LONGEST:
        raise UsageError(
            f"--budget {shown(text)}: expected a time with its unit, such as 90s, 30m or 1h, and "
            "at most 30d"
        )
    return seconds
