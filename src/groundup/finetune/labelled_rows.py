"""Labelled texts as rows of tokens, in batches of about the same length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.base.errors import DataError, TokenizerError, UsageError
from groundup.data.batch import Batch
from groundup.data.batches import GOLDEN, mix, permute
from groundup.data.examples import Example
from groundup.tokenizer import Tokenizer

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

SORTED_BATCHES = 64
"""Global batches whose rows are sorted by length together: enough for little padding, few enough to
leave the order random."""


@dataclass(frozen=True)
class Rows:
    """Texts as tokens, with their labels as numbers."""

    ids: list[Ids]
    labels: Ids
    n_cut: int = 0
    """Texts of which the end was cut off."""
    n_lost: int = 0
    """Tokens in those ends."""

    @property
    def lengths(self) -> Ids:
        """Tokens of each text."""
        return np.array([len(ids) for ids in self.ids], np.int64)

    def some(self, rows: Ids) -> Rows:
        """Return these rows alone."""
        return Rows([self.ids[row] for row in rows], self.labels[rows])


def padded(ids: Sequence[Ids]) -> tuple[Ids, Ids]:
    """Return texts as one array (B, T), padded at their ends, and the length of each."""
    lengths = np.array([len(text) for text in ids], np.int64)
    tokens = np.zeros((len(ids), max(1, lengths.max(initial=1))), np.int64)
    for row, text in zip(tokens, ids, strict=True):
        row[: len(text)] = text
    return tokens, lengths


def tokenized(
    texts: Sequence[str],
    places: Sequence[str],
    tokenizer: Tokenizer,
    max_length: int,
    start: int | None = None,
) -> tuple[list[Ids], int, int]:
    """Return the tokens of each text, at most `max_length`, how many were cut, and by how much.

    `places` are what the texts are called in an error; `start` is the token that begins every
    text, where the model knows one. Raises `DataError` for a text of which no token is left, and
    `UsageError` where that is so of all.
    """
    begin = [] if start is None else [start]
    if max_length <= len(begin):
        raise UsageError(
            f"max_length = {max_length}: the token that begins every text takes that, and nothing "
            "of the text is read; give 2 or more"
        )
    rows, n_cut, n_lost = [], 0, 0
    for text, where in zip(texts, places, strict=True):
        try:
            encoded = tokenizer.encode_array(text)
        except TokenizerError as error:
            raise DataError(f"{where}: {error}") from error
        if not len(encoded):
            raise DataError(f"{where}: a text without a token; mend or remove it")
        ids = np.array([*begin, *encoded.tolist()], np.int64)
        if len(ids) > max_length:
            n_cut, n_lost = n_cut + 1, n_lost + len(ids) - max_length
            ids = ids[:max_length]
        rows.append(ids)
    return rows, n_cut, n_lost


def labelled_rows(
    examples: Sequence[Example],
    labels: Sequence[str],
    tokenizer: Tokenizer,
    max_length: int,
    start: int | None = None,
) -> Rows:
    """Return examples as rows of tokens and numbers of labels."""
    numbers = {label: number for number, label in enumerate(labels)}
    texts, places = [e.text for e in examples], [e.where for e in examples]
    ids, n_cut, n_lost = tokenized(texts, places, tokenizer, max_length, start)
    return Rows(ids, np.array([numbers[e.label] for e in examples], np.int64), n_cut, n_lost)


def class_weights(labels: Ids, n_labels: int, balance: str) -> Floats:
    """Return what each label counts: 1, or n / (n_labels * count), which is 1 in the mean.

    King and Zeng, 2001, "Logistic regression in rare events data".
    """
    if balance == "none":
        return np.ones(n_labels, np.float32)
    counts = np.bincount(labels, minlength=n_labels)
    return (len(labels) / (n_labels * np.maximum(1, counts))).astype(np.float32)


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


class LabelledRows:
    """Labelled texts to learn from: a batch is what `ClassifyStep` takes."""

    def __init__(
        self, rows: Rows, weights: Floats, batch_size: int, seed: int, accumulation: int = 1
    ) -> None:
        self.texts, self.weights = rows, weights
        self.order = Order(rows.lengths, batch_size, seed, accumulation)

    @property
    def n_rows(self) -> int:
        """Texts in a pass."""
        return len(self.texts.ids)

    @property
    def n_tokens(self) -> int:
        """Tokens in a pass."""
        return int(self.texts.lengths.sum())

    @property
    def n_targets(self) -> int:
        """Labels in a pass: one a text."""
        return self.n_rows

    def rows(self, first: int, n: int) -> Batch:
        """Return rows `first` to `first + n - 1`, padded to the longest of them."""
        chosen = self.order.rows(first, n)
        tokens, lengths = padded([self.texts.ids[row] for row in chosen])
        labels = self.texts.labels[chosen]
        arrays = {"tokens": tokens, "lengths": lengths, "labels": labels}
        return Batch({**arrays, "weights": self.weights[labels]}, int(lengths.sum()))


class LabelledVectors(LabelledRows):
    """The same by one vector of each text: a batch is what `HeadStep` takes."""

    def __init__(
        self,
        rows: Rows,
        vectors: Floats,
        weights: Floats,
        batch_size: int,
        seed: int,
        accumulation: int = 1,
    ) -> None:
        super().__init__(rows, weights, batch_size, seed, accumulation)
        self.vectors = vectors

    def rows(self, first: int, n: int) -> Batch:
        """Return rows `first` to `first + n - 1`."""
        chosen = self.order.rows(first, n)
        labels = self.texts.labels[chosen]
        arrays: dict[str, npt.NDArray[Any]] = {"vectors": self.vectors[chosen], "labels": labels}
        n_tokens = int(self.texts.lengths[chosen].sum())
        return Batch({**arrays, "weights": self.weights[labels]}, n_tokens)
