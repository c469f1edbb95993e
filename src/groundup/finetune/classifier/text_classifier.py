"""Texts in, labels and probabilities out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from groundup.base.errors import RunError, UsageError
from groundup.evaluate.loss import OnProgress, silent
from groundup.finetune.classifier.model import Classifier
from groundup.finetune.classifier.rows import padded, tokenized
from groundup.finetune.order import Ids
from groundup.model import evaluation_mode
from groundup.tokenizer import Tokenizer

Floats = npt.NDArray[np.float32]

TOKENS_AT_ONCE = 4096
"""Places of a batch, padding included."""


@dataclass(frozen=True)
class Prediction:
    """What a text is, and how likely each label is."""

    label: str
    probabilities: dict[str, float]
    is_cut: bool = False
    """Whether the text was longer than what is read, so that its end was left out."""


@dataclass(frozen=True)
class TextClassifier:
    """A classifier with its tokenizer and the names of its labels."""

    model: Classifier
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    max_length: int
    """Tokens of a text that are read."""
    start: int | None = None
    """The token that begins every text, where the model knows one."""
    step: int = 0
    notices: tuple[str, ...] = ()
    metrics: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    """What was measured while it was trained, where it has just been."""

    def predict(
        self,
        texts: Sequence[str],
        progress: OnProgress = silent,
        places: Sequence[str] | None = None,
    ) -> list[Prediction]:
        """Return the label of each text, and the probability of every label.

        `places` are what the texts are called in an error, where not "text 1" and so on.
        Raises `UsageError` for what is no text, `DataError` for characters that the tokenizer
        does not know, and `RunError` for scores that are no numbers.
        """
        check_texts(texts)
        places = places or [f"text {number}" for number in range(1, len(texts) + 1)]
        ids, _, _ = tokenized(texts, places, self.tokenizer, self.max_length + 1, self.start)
        cut = [row[: self.max_length] for row in ids]
        probabilities = softmax(scores_of(self.model, cut, progress))
        if not np.isfinite(probabilities).all():
            raise RunError(
                "the classifier's scores are no finite numbers, and decide nothing; train it again "
                "with a smaller learning_rate"
            )
        return [
            Prediction(
                label=self.labels[int(row.argmax())],
                probabilities=dict(zip(self.labels, map(float, row), strict=True)),
                is_cut=len(whole) > self.max_length,
            )
            for row, whole in zip(probabilities, ids, strict=True)
        ]

    def __repr__(self) -> str:
        return f"TextClassifier({', '.join(self.labels)}; {self.model.gpt.extra_repr()})"


def check_texts(texts: object) -> None:
    """Refuse what is not a list of texts with something in them."""
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise UsageError(f"texts: expected a list of texts, but got {type(texts).__name__}")
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str) or not text or text.isspace():
            found = "an empty text" if isinstance(text, str) else type(text).__name__
            raise UsageError(f"text {number}: expected a text to decide about, but got {found}")


def in_batches(
    ids: Sequence[Ids], device: torch.device, progress: OnProgress
) -> Iterator[tuple[Ids, Int[Tensor, "B T"], Int[Tensor, " B"]]]:
    """Yield the numbers of texts of about the same length, their tokens and their lengths."""
    sizes = np.array([len(text) for text in ids], np.int64)
    order = np.argsort(-sizes, kind="stable")  # the longest first: memory is asked for once
    done = 0
    while done < len(order):
        at_once = max(1, TOKENS_AT_ONCE // max(1, int(sizes[order[done]])))
        rows = order[done : done + at_once]
        tokens, lengths = padded([ids[row] for row in rows])
        yield rows, torch.from_numpy(tokens).to(device), torch.from_numpy(lengths).to(device)
        done += len(rows)
        progress(done, len(ids))


def scores_of(model: Classifier, ids: Sequence[Ids], progress: OnProgress = silent) -> Floats:
    """Return the scores of texts (n, C), in the order given; the model is as it was before."""
    scores = np.empty((len(ids), model.head.out_features), np.float32)
    with torch.no_grad(), evaluation_mode(model):
        for rows, tokens, lengths in in_batches(ids, model.gpt.device, progress):
            scores[rows] = model(tokens, lengths).float().cpu().numpy()
    return scores


def softmax(scores: Floats) -> npt.NDArray[np.float64]:
    """Return the probabilities of scores (n, C), in double precision: they add up to 1."""
    wide = scores.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    probabilities: npt.NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities
