"""Labelled texts as rows of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.base.errors import DataError, TokenizerError, UsageError
from groundup.data.batch import Batch
from groundup.data.examples import Example
from groundup.finetune.order import Ids, Order
from groundup.tokenizer import Tokenizer

Floats = npt.NDArray[np.float32]


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
