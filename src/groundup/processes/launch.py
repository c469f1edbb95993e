"""What a launcher tells each of the processes it starts: its place among them."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from groundup.base.errors import UsageError, shown
from groundup.base.signals import Interrupted

LAST_WORDS = 5.0
"""Seconds that a process waits for others, lest they say again what it has said for them."""
STARTING_APART = 1.5
"""The same before they have met, when they find the same wrong at about the same time."""
ENDING = 60.0
"""The same where all find by themselves what it has said: on a busy machine one comes late, who is
still loading PyTorch."""


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


def is_several() -> bool:
    """Return whether a launcher has started others beside this process, and told it sense."""
    try:
        return place() is not None
    except UsageError:
        return False


def is_first() -> bool:
    """Return whether this is the process that checks what all of them read."""
    return (own := place()) is None or own.rank == 0


def speaks(lost: int | None = None) -> bool:
    """Return whether this process says what all know: the first of its launcher's that live here.

    So it is said once, whoever was killed. One of the rank `lost` is not counted on.
    """
    if not is_several() or (own := place()) is None:
        return True
    return not any(rank != lost and rank < own.rank for rank in _ranks_here())


def meets_alone() -> bool:
    """Return whether what ended this process, before all have met, ends no lower one of them.

    What is wrong with a command is so for all of its processes: the first one that lives says it,
    and as soon as it has ended, a launcher ends the others.
    """
    until = time.monotonic() + LAST_WORDS
    if speaks():
        return True
    with suppress(Interrupted):
        while not speaks():
            if time.monotonic() > until:
                return True
            time.sleep(0.05)
    return False


def stay(most: float = LAST_WORDS) -> None:
    """Wait until the others here have ended, for whom this process has spoken; not for long."""
    until = time.monotonic() + most
    while is_several() and len(_ranks_here()) > 1 and time.monotonic() < until:
        time.sleep(0.05)


def _ranks_here() -> list[int]:
    """Return the ranks of the processes that the same launcher has started and that live."""
    threads = Path(f"/proc/{os.getppid()}/task").glob("*/children")
    try:
        children = [child for thread in threads for child in thread.read_text().split()]
    except OSError:  # not Linux, or hidden: rather said by each than by none
        return []
    return [rank for rank in map(_rank_of, children) if rank is not None]


def _rank_of(process: str) -> int | None:
    """Return the rank of a living process of the same training, None of any other."""
    try:
        told = Path(f"/proc/{process}/environ").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return None
    said = dict(line.partition("=")[::2] for line in told)
    same = all(said.get(name) == os.environ.get(name) for name in ("WORLD_SIZE", "MASTER_PORT"))
    rank = said.get("RANK", "")
    return int(rank) if same and rank.isascii() and rank.isdecimal() else None


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
