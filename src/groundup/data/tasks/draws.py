"""What a task is made of, drawn by chance, from the values of its side: to train, or for the test.

Every value (a word, a name, a number …) is on one side, wherever it is used: that of its SHA-256.
Chance is `random.Random(integer).random()`, which alone Python documents to give the same sequence
in every version ("Notes on Reproducibility" of the module `random`). All else is made of it here.
"""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Callable, Sequence
from typing import TypeVar

TRAIN, TEST = "train", "test"
TEST_SHARE = 0.25
"""Of all values, about so many are for the test alone."""

T = TypeVar("T")


@functools.cache
def side_of(value: str) -> str:
    """Return the split that a value is for, whatever its case."""
    digest = hashlib.sha256(value.lower().encode()).digest()
    return TEST if digest[0] < 256 * TEST_SHARE else TRAIN


@functools.cache
def on_side(values: tuple[str, ...], split: str) -> tuple[str, ...]:
    """Return the values of a split, in their order."""
    return tuple(value for value in values if side_of(value) == split)


class Draws:
    """Chance, and the values of one split that it gives; those drawn since `begin` are kept."""

    def __init__(self, split: str, seed: int, name: str) -> None:
        """Begin the sequence of draws that belongs to the seed, the split and a name."""
        digest = hashlib.sha256(f"{seed} {split} {name}".encode()).digest()
        self._random = random.Random(int.from_bytes(digest[:8], "big"))
        self.split = split
        self.values: list[str] = []

    def begin(self) -> None:
        """Forget the values drawn so far: another task begins."""
        self.values = []

    def below(self, n: int) -> int:
        """Return a whole number from 0 to n - 1."""
        return int(self._random.random() * n)

    def between(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included, of no side."""
        return low + self.below(high - low + 1)

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of some choices that are no values."""
        return choices[self.below(len(choices))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Return the items in an order by chance (Fisher and Yates)."""
        order = list(items)
        for last in range(len(order) - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order

    def words(self, pool: tuple[str, ...], n: int) -> list[str]:
        """Return n different words of a list, of this side."""
        return self._different(n, lambda: self.pick(on_side(pool, self.split)))

    def word(self, pool: tuple[str, ...]) -> str:
        """Return a word of a list, of this side."""
        return self.words(pool, 1)[0]

    def numbers(self, low: int, high: int, n: int) -> list[int]:
        """Return n different numbers of this side from `low` to `high`, both included."""
        return [int(digits) for digits in self._different(n, lambda: self._digits(low, high))]

    def number(self, low: int, high: int) -> int:
        """Return a number of this side from `low` to `high`, both included."""
        return self.numbers(low, high, 1)[0]

    def _digits(self, low: int, high: int) -> str:
        while side_of(digits := str(self.between(low, high))) != self.split:
            pass
        return digits

    def _different(self, n: int, draw: Callable[[], str]) -> list[str]:
        found: list[str] = []
        while len(found) < n:
            if (value := draw()) not in found:
                found.append(value)
        self.values += found
        return found
