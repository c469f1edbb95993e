"""How much of what long tests count is tried: `make test-long SCALE=0.1` tries a tenth."""

from __future__ import annotations

import os

SCALE = float(os.environ.get("SCALE", "1"))


def scaled(many: float, least: int = 1) -> int:
    """Return the part of `many` that is tried, `least` at any rate."""
    return max(least, round(many * SCALE))
