"""Figures with their intervals, as a report and a terminal write them."""

from __future__ import annotations

from groundup.runs.classification import Interval


def percent(share: float, ends: Interval) -> str:
    """Write a share with its interval in percent."""
    low, high = (f"{100 * end:.1f}%" for end in ends)
    return f"{100 * share:.1f}% ({low} to {high})"


def plain(value: float, ends: Interval) -> str:
    """Write a value between 0 and 1 with its interval."""
    return f"{value:.3f} ({ends[0]:.3f} to {ends[1]:.3f})"
