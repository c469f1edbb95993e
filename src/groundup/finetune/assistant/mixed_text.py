"""A text that goes on being learnt beside dialogues, so that less of what a model knew is lost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from groundup.data import TokenSplit
from groundup.data.batches import GOLDEN, mix, permute
from groundup.generate.replies import DialogueIds


class MixedText:
    """Rows of a text, other ones in each pass: none comes again before all have been read.

    A row learnt over and over would be known by heart. Each is a text of its own to the model,
    which `start` begins, where the model knows such a token. All have as many targets:
    `row_length`, unless that is more than their share, or than the text has.
    """

    def __init__(
        self,
        tokens: TokenSplit,
        row_length: int,
        n_targets: int,
        share: float,
        seed: int = 0,
        start: int | None = None,
    ) -> None:
        """Take so many rows a pass that beside `n_targets` others `share` of all is theirs.

        That is right to half a row, or all rows of a text that has fewer.
        """
        wanted = round(n_targets * share / (1 - share))
        self._tokens, self._seed = tokens, np.uint64(seed % 2**64)
        self._begin = np.array([] if start is None else [start], np.uint32)
        self.row_length = min(row_length, wanted, tokens.n_tokens - 1)
        self.n_windows = -(-(tokens.n_tokens - 1) // self.row_length) if self.row_length > 0 else 0
        self.n_rows = min(round(wanted / self.row_length), self.n_windows) if self.n_windows else 0

    @property
    def n_targets(self) -> int:
        """Targets in a pass."""
        return self.n_rows * self.row_length

    def row(self, number: int) -> DialogueIds:
        """Return the row with this number, counted on from pass to pass."""
        reading, rank = divmod(number, self.n_windows)
        key = mix(mix(np.array([reading], np.uint64) + np.uint64(GOLDEN)) ^ self._seed)
        window = int(permute(np.array([rank], np.uint64), self.n_windows, key)[0])
        # The last window ends with the text, and begins within the one before it.
        first = min(window * self.row_length, self._tokens.n_tokens - 1 - self.row_length)
        n = self.row_length + 1 - len(self._begin)
        ids = np.concatenate([self._begin, self._tokens.read(first, n).astype(np.uint32)])
        return DialogueIds(ids, np.ones(len(ids), np.bool_), 0)


def targets_of(rows: Sequence[DialogueIds]) -> int:
    """Return how many targets count in all rows."""
    return sum(row.n_targets for row in rows)
