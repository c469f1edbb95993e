"""Counts as people write them."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: 1 document, 2,300 documents."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
