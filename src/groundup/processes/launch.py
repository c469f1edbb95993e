"""What a launcher tells each of the processes it starts: its place among them."""

from __future__ import annotations

import os
from dataclasses import dataclass

from groundup.base.errors import UsageError, shown


@dataclass(frozen=True)
class Place:
    """One of `size` processes, who find each other at `host` and `port`, where rank 0 is."""

    rank: int
    size: int
    local_rank: int
    host: str
    port: int


def place() -> Place | None:
    """Return the place of this process among others; None where it is the only one."""
    size = _number("WORLD_SIZE", 1, 2**16, default=1)
    if size == 1:
        return None
    if not (host := os.environ.get("MASTER_ADDR", "")):
        raise UsageError(_expected("MASTER_ADDR", host, "the host of rank 0"))
    return Place(
        rank=_number("RANK", 0, size - 1),
        size=size,
        local_rank=_number("LOCAL_RANK", 0, size - 1, default=0),
        host=host,
        port=_number("MASTER_PORT", 1, 2**16 - 1),
    )


def is_first() -> bool:
    """Return whether this is the process that checks what all of them read."""
    return (own := place()) is None or own.rank == 0


def processes_here() -> int:
    """Return how many of the processes share this machine."""
    return _number("LOCAL_WORLD_SIZE", 1, 2**16, default=1)


def _number(name: str, least: int, most: int, default: int | None = None) -> int:
    """Return what the environment says of `name`."""
    text = os.environ.get(name, "")
    if not text and default is not None:
        return default
    if not text.isascii() or not text.isdecimal() or not least <= int(text[:9]) <= most:
        raise UsageError(_expected(name, text, f"a number from {least} to {most}"))
    return int(text)


def _expected(name: str, text: str, what: str) -> str:
    given = f"{name}={shown(text)}" if text else f"{name} is not set"
    return f"{given}: expected {what}; a launcher such as torchrun sets it, or unset WORLD_SIZE"
