"""In which order rows are learnt: those of about the same length in a batch."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from groundup.data.batches import GOLDEN, mix, permute

Ids = npt.NDArray[np.int64]

SORTED_BATCHES = 64
"""Global batches whose rows are sorted by length together: enough for little padding, few enough to
leave the order random."""


class Order:
    """The order of the rows, another in each pass, those of about the same length side by side.

    A pass is a permutation, of which `SORTED_BATCHES` global batches at a time are sorted by
    length; then these batches are shuffled. How a global batch is divided decides nothing: a step
    learns from the same rows. The first pass begins with those that take most memory, so that what
    does not fit fails at once: `_longest_soon`.
    """

    def __init__(self, lengths: Ids, batch_size: int, seed: int, accumulation: int = 1) -> None:
        self.lengths, self.batch_size, self.accumulation = lengths, batch_size, accumulation
        self.at_a_step = batch_size * accumulation
        self._seed = int(mix(np.array([seed % 2**64], dtype=np.uint64))[0])
        self.of_pass = lru_cache(maxsize=2)(self._of_pass)

    def rows(self, first: int, n: int) -> Ids:
        """Return the rows with the numbers `first` to `first + n - 1`, pass after pass."""
        n_rows = len(self.lengths)
        places = np.arange(first, first + n)
        return np.array([self.of_pass(p // n_rows)[p % n_rows] for p in places.tolist()], np.int64)

    def padding_share(self, n_rows: int) -> float:
        """Return which part of the places that the first so many rows take is padding."""
        lengths = self.lengths[self.rows(0, n_rows)]
        parts = np.split(lengths, range(self.batch_size, len(lengths), self.batch_size))
        computed = sum(int(part.max()) * len(part) for part in parts)
        return 1 - int(lengths.sum()) / max(1, computed)

    def _of_pass(self, number: int) -> Ids:
        n = len(self.lengths)
        key = np.array([number], np.uint64) + np.uint64(GOLDEN)
        keys = mix(mix(key) ^ self._seed)
        rows = permute(np.arange(n, dtype=np.uint64), n, np.repeat(keys, n)).astype(np.int64)
        # The first rows fill the global batch that the pass before has begun, so that the others
        # are batches of this pass, and not the end of one with the beginning of the next.
        fill, rows = np.split(rows, [-number * n % self.at_a_step])
        several = self.at_a_step * SORTED_BATCHES
        for begin in range(0, len(rows), several):
            part = rows[begin : begin + several]
            # Falling: what is left over for a batch that is not full are short texts.
            rows[begin : begin + several] = part[np.argsort(-self.lengths[part], kind="stable")]
        whole = len(rows) - len(rows) % self.at_a_step  # a batch not full stays the last one
        batches = rows[:whole].reshape(-1, self.at_a_step)
        if len(batches) > 1:
            ranks = np.arange(len(batches), dtype=np.uint64)
            shuffled = permute(ranks, len(batches), np.repeat(mix(keys + np.uint64(1)), len(ranks)))
            batches = batches[shuffled.astype(np.int64)]
            batches = batches if number else self._longest_soon(batches)
        return np.concatenate([fill, batches.ravel(), rows[whole:]])

    def _longest_soon(self, batches: Ids) -> Ids:
        """Return the global batches with that of the longest text first, and the next one second.

        Of the latter the longest texts come last: by then all is held that a step finds, the
        optimizer's averages, which the first step made, and the gradients of the passes before.
        """
        longest = np.argsort(-self.lengths[batches].max(axis=1), kind="stable")[:2]
        first, second = batches[longest]
        second = second.reshape(-1, self.batch_size)[::-1].ravel()
        return np.vstack([first, second, np.delete(batches, longest, axis=0)])
