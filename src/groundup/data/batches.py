"""Batches of windows: a pure function of a seed and of a sample's global index.

Nothing is shuffled in memory and nothing is remembered: sample 10 billion costs what sample 0
costs, and a trainer that stores how many samples it has seen goes on exactly where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from groundup.base.errors import DataError, UsageError, nearest
from groundup.data.batch import Batch
from groundup.data.tokens import TokenSplit

if TYPE_CHECKING:
    from torch import Tensor

Words = npt.NDArray[Any]  # np.uint64, which wraps around at 2**64
Samples = npt.NDArray[np.int64]

GOLDEN = 0x9E3779B97F4A7C15
"""2**64 / golden ratio, odd: its multiples lie far apart."""

AHEAD = 1024
"""Samples whose places are found at once: numpy takes hardly longer for them than for one."""

ROUNDS = 4
"""Times that the permutation moves each of its two coordinates."""


def mix(words: Words) -> Words:
    """Scatter 64-bit words, one to one, so that near ones end far apart.

    The finalizer of SplitMix64: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
    generators".
    """
    words = (words ^ (words >> 30)) * 0xBF58476D1CE4E5B9
    words = (words ^ (words >> 27)) * 0x94D049BB133111EB
    scattered: Words = words ^ (words >> 31)
    return scattered


def permute(ranks: Words, n: int, keys: Words) -> Words:
    """Send `ranks` of range(n) to places in range(n), one to one for each of `keys`.

    A Feistel network over a grid of at least n cells, in which one coordinate is moved by a hash of
    the other; what lands on a cell beyond n goes on walking until it lands below. Black and Rogaway
    2002, "Ciphers with arbitrary finite domains".
    """
    columns = isqrt(n - 1) + 1
    rows = -(-n // columns)
    numbers = np.arange(1, 4 * ROUNDS + 1, dtype=np.uint64)[:, None]
    factors = mix(numbers * GOLDEN + keys)  # (4 * ROUNDS, len(ranks))
    places = _walk(ranks, factors, rows, columns)
    while (beyond := places >= n).any():
        places[beyond] = _walk(places[beyond], factors[:, beyond], rows, columns)
    return places


def _walk(places: Words, factors: Words, rows: int, columns: int) -> Words:
    """Move each place once through the network.

    x * a + b, of which the upper 32 bits are kept, is a strongly universal hash of 32 bits:
    Dietzfelbinger 1996, "Universal hashing and k-wise independent random variables". The sums below
    stay far from 2**64: one that wrapped around would not be one to one.
    """
    row, column = np.divmod(places, columns)
    for a, b, c, d in zip(*[iter(factors)] * 4, strict=True):
        row = (row + (column * a + b >> 32)) % rows
        column = (column + (row * c + d >> 32)) % columns
    return row * columns + column


class Order(Protocol):
    """Which window each sample is."""

    n_windows: int

    def starts(self, indices: Words) -> Words:
        """Return the first token of each sample."""


class Permutation:
    """Windows side by side, in an order and from an offset that each pass has for itself.

    No window repeats in a pass; less than two windows' worth of tokens, at the ends, waits for
    another pass with another offset.
    """

    def __init__(self, n_tokens: int, context_length: int, stride: int, seed: int) -> None:
        self.n_windows = max(1, n_tokens // context_length - 1)
        self._n_offsets = min(context_length, n_tokens - self.n_windows * context_length)
        self._length = context_length
        self._seed = seed

    def starts(self, indices: Words) -> Words:
        """Return the first token of each sample."""
        passes, ranks = np.divmod(indices, self.n_windows)
        keys = mix(mix(passes + GOLDEN) ^ self._seed)
        windows, offsets = permute(ranks, self.n_windows, keys), mix(keys) % self._n_offsets
        first: Words = windows * self._length + offsets
        return first


class RandomStarts:
    """Windows that begin anywhere, each drawn by itself; a pass is only a number of them."""

    def __init__(self, n_tokens: int, context_length: int, stride: int, seed: int) -> None:
        self.n_windows = (n_tokens - 1) // context_length
        self._n_starts = n_tokens - context_length
        self._seed = seed

    def starts(self, indices: Words) -> Words:
        """Return the first token of each sample."""
        return mix(mix(indices + GOLDEN) ^ self._seed) % self._n_starts


class Sliding:
    """Windows from the first token to the last, `stride` tokens apart, then again."""

    def __init__(self, n_tokens: int, context_length: int, stride: int, seed: int) -> None:
        self.n_windows = (n_tokens - context_length - 1) // stride + 1
        self._stride = stride

    def starts(self, indices: Words) -> Words:
        """Return the first token of each sample."""
        first: Words = indices % self.n_windows * self._stride
        return first


ORDERS: dict[str, Any] = {
    "permutation": Permutation,
    "random": RandomStarts,
    "sliding": Sliding,
}


class Batches:
    """Samples of a split: windows of `context_length` tokens, and the same moved on by one.

    `order` is permutation, random or sliding (by `stride` tokens; None is context_length). A split
    shorter than context_length + 1 is a DataError.
    """

    def __init__(
        self,
        split: TokenSplit,
        context_length: int,
        batch_size: int,
        seed: int,
        order: str = "permutation",
        stride: int | None = None,
    ) -> None:
        if not isinstance(split, TokenSplit):
            raise TypeError(
                f"Batches of a {type(split).__name__}: expected a TokenSplit; write "
                "TokenSplit.from_array(ids, n_bytes) for ids in memory"
            )
        stride = context_length if stride is None else stride
        if order not in ORDERS:
            raise UsageError(f"order = '{order}': expected another name; {nearest(order, ORDERS)}")
        sizes = {"context_length": context_length, "batch_size": batch_size, "stride": stride}
        for name, value in sizes.items():
            if value < 1:
                raise UsageError(f"{name} = {value}: expected 1 or more")
        if split.n_tokens <= context_length:
            raise DataError(
                f"a split of {split.n_tokens} tokens is too short for context_length = "
                f"{context_length}, which needs {context_length + 1}; choose a smaller "
                "context_length or give more text"
            )
        self.split = split
        self.context_length = context_length
        self.batch_size = batch_size
        scattered = int(mix(np.array([seed % 2**64], dtype=np.uint64))[0])
        self.order: Order = ORDERS[order](split.n_tokens, context_length, stride, scattered)
        self._found = 0, np.empty(0, dtype=np.int64)

    @property
    def n_windows(self) -> int:
        """Windows in a pass."""
        return self.order.n_windows

    @property
    def n_rows(self) -> int:
        """Rows in a pass: a window each."""
        return self.n_windows

    @property
    def n_tokens(self) -> int:
        """Tokens in a pass."""
        return self.n_windows * self.context_length

    @property
    def n_targets(self) -> int:
        """Targets in a pass: every token of a window has one."""
        return self.n_tokens

    def rows(self, first: int, n: int) -> Batch:
        """Return samples `first` and following as a batch: tokens and targets, all of them full."""
        tokens, targets = self.samples(first, n)
        return Batch({"tokens": tokens, "targets": targets}, tokens.size)

    def samples(self, first_index: int, n: int) -> tuple[Samples, Samples]:
        """Return tokens and targets (n, context_length) of samples first_index and following."""
        windows = self.split.windows(self._starts(first_index, n), self.context_length + 1)
        return windows[:, :-1].astype(np.int64), windows[:, 1:].astype(np.int64)

    def _starts(self, first_index: int, n: int) -> Samples:
        """Return the first token of each sample, found together with those that come next."""
        begin, found = self._found
        if not begin <= first_index <= first_index + n <= begin + len(found):
            ahead = first_index + max(n, AHEAD)
            indices = np.arange(first_index, ahead, dtype=np.uint64)
            begin, found = first_index, self.order.starts(indices).astype(np.int64)
            self._found = begin, found
        return found[first_index - begin : first_index - begin + n]

    def batch(self, number: int) -> tuple[Samples, Samples]:
        """Return tokens and targets (batch_size, context_length) of the batch of that number."""
        return self.samples(number * self.batch_size, self.batch_size)

    def torch(self, n: int | None = None, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield `n` batches, from number `first` on, as tensors: tokens and targets (B, T) int64.

        None is as many as show every window once; windows of the next pass fill the last of them.
        """
        import torch

        n = -(-self.n_windows // self.batch_size) if n is None else n
        for number in range(first, first + n):
            tokens, targets = self.batch(number)
            yield torch.from_numpy(tokens), torch.from_numpy(targets)

    def __repr__(self) -> str:
        return (
            f"Batches({self.batch_size} x {self.context_length} tokens, "
            f"{type(self.order).__name__}, {self.n_windows:,} windows a pass)"
        )
