"""A text that goes on being learnt beside dialogues, so that less of what a model knew is lost."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from groundup.data import TokenSplit
from groundup.evaluate.loss import window_starts
from groundup.generate.replies import DialogueIds


def mixed_rows(
    tokens: TokenSplit, row_length: int, n_targets: int, share: float, start: int | None = None
) -> list[DialogueIds]:
    """Return windows of a text, each of `row_length` targets, spread evenly over it.

    They are so many that beside `n_targets` others `share` of all is theirs, to half a row, or all
    of a text that is too short for that. Where that is less than a row, there is one shorter row. A
    window is a text of its own to the model, and `start` begins it, where the model knows such a
    token.
    """
    wanted = round(n_targets * share / (1 - share))
    if not wanted:
        return []
    row_length = min(row_length, wanted)
    n_rows = round(wanted / row_length)
    begin = np.array([] if start is None else [start], np.uint32)
    rows = []
    for first in window_starts(tokens.n_tokens, row_length, n_rows * row_length):
        n = min(row_length + 1 - len(begin), tokens.n_tokens - first)
        ids = np.concatenate([begin, tokens.read(first, n).astype(np.uint32)])
        rows.append(DialogueIds(ids, np.ones(len(ids), np.bool_), 0))
    return rows


def targets_of(rows: Sequence[DialogueIds]) -> int:
    """Return how many targets count in all rows."""
    return sum(row.n_targets for row in rows)


def rows_fingerprint(rows: Sequence[DialogueIds]) -> str:
    """Return what only rows of the same ids have."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(len(row.ids).to_bytes(8, "little") + row.ids.astype("<u4").tobytes())
    return digest.hexdigest()[:16]
