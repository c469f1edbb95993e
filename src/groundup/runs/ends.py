"""What the metrics of a run come to, from a tenth of their lines: a list of runs needs no more."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.runs.metrics import parsed, raw_lines, read_lines
from groundup.runs.record import number

BLOCK = 4 << 20
"""Bytes looked at together."""
LOSS = "val_loss"


@dataclass(frozen=True)
class Ends:
    """How far a run has come, and how good it was at its best."""

    step: int
    best_val_loss: float | None
    last_line: dict[str, Any]
    """The newest line; {} without one."""


def read_ends(path: Path) -> Ends:
    """Return what `ends_of` does of all lines, from the last ones and those with a validation loss.

    Lines are in the order of their steps, as a trainer writes them; where they are seen not to be,
    or might be written in another way, all of them are read.
    """
    ends = Ends(0, None, {})
    losses: dict[int, float] = {}
    for block in raw_lines(path, block=BLOCK):
        if b"\\" in block:  # so may the letters of a key be written
            return ends_of(read_lines(path))
        losses |= _losses(filter(None, map(parsed, _lines_with(f'"{LOSS}"'.encode(), block))))
        ends = _ending(block, ends)
    if losses and max(losses) > ends.step:
        return ends_of(read_lines(path))
    return Ends(ends.step, _best(losses), ends.last_line)


def ends_of(lines: Iterable[dict[str, Any]]) -> Ends:
    """Return what all `lines` come to, in whatever order they are."""
    step, line = 0, dict[str, Any]()
    losses: dict[int, float] = {}
    for line in lines:
        step = max(step, _step(line) or 0)
        losses |= _losses([line])
    return Ends(step, _best(losses), line)


def _losses(lines: Iterable[dict[str, Any]]) -> dict[int, float]:
    """Return the validation losses by step; of two at one step, the later."""
    steps = ((line, _step(line)) for line in lines if LOSS in line)
    return {step: number(line[LOSS]) for line, step in steps if step is not None}


def _best(losses: dict[int, float]) -> float | None:
    return min(filter(math.isfinite, losses.values()), default=None)


def _step(line: dict[str, Any]) -> int | None:
    """Return the step of a line of training or validation, None of others, such as an event's."""
    step = number(line.get("step"))
    return int(step) if "event" not in line and math.isfinite(step) else None


def _ending(block: bytes, before: Ends) -> Ends:
    """Return the last line in `block`, and the last step there; else what was `before`."""
    last: dict[str, Any] | None = None
    for line in map(parsed, _lines_from_the_end(block)):
        last = line if last is None else last
        if line and (step := _step(line)) is not None:
            return Ends(step, None, last or {})
    return Ends(before.step, None, before.last_line if last is None else last)


def _lines_from_the_end(block: bytes) -> Iterator[bytes]:
    end = len(block)
    while end:
        start = block.rfind(b"\n", 0, end - 1) + 1
        yield block[start:end]
        end = start


def _lines_with(word: bytes, block: bytes) -> Iterator[bytes]:
    at = block.find(word)
    while at >= 0:
        start, end = block.rfind(b"\n", 0, at) + 1, block.find(b"\n", at) + 1 or len(block)
        yield block[start:end]
        at = block.find(word, end)
