"""Log-likelihoods of given continuations, on which every task rests.

Only the places that predict a continuation are scored over the vocabulary, a bounded number at a
time. Batches are made of documents of like length, the longest first: too little memory shows at
once, and padding is small.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from groundup.base.errors import UsageError
from groundup.evaluate.loss import rows_at_once
from groundup.evaluate.rows import Request, Row, batch_of, rows_of
from groundup.model import GPT, evaluation_mode

BATCH_TOKENS = 4096
"""Most tokens, padding included, in one forward pass; a single longer document passes alone."""

Losses = npt.NDArray[np.float32]
Hits = npt.NDArray[np.bool_]


class Score(NamedTuple):
    """How probable one continuation is to a model."""

    log_likelihood: float
    """Sum over its tokens of ln p(token), in nats."""
    greedy: bool
    """Whether each of its tokens was the likeliest."""


def log_likelihoods(
    model: GPT, requests: Sequence[Request], batch_tokens: int = BATCH_TOKENS
) -> list[Score]:
    """Return the score of each request, in their order.

    Neighbours that begin alike are read together, so keep a document's requests side by side.
    """
    rows = rows_of(requests, model.config.context_length)
    scores: list[list[Score]] = [[] for _ in rows]
    for batch in batches([[row] for row in rows], batch_tokens):
        for i, found in zip(batch, score_rows(model, [rows[i] for i in batch]), strict=True):
            scores[i] = found
    return [score for found in scores for score in found]


def batches(documents: Sequence[Sequence[Row]], batch_tokens: int) -> Iterator[list[int]]:
    """Yield the indices of documents to read together, the longest first.

    The same documents always make the same batches, whatever was done of them before. A batch ends
    where it is full; also, once it is an eighth full, where padding would be an eighth of it.
    """
    if batch_tokens < 1:
        raise UsageError(f"batch_tokens = {batch_tokens}: expected 1 or more")
    longest = [max(map(len, rows)) for rows in documents]
    batch: list[int] = []
    n_rows = n_tokens = 0
    for i in sorted(range(len(documents)), key=lambda i: (-longest[i], i)):
        size = (n_rows + len(documents[i])) * longest[batch[0] if batch else i]
        padding = size - n_tokens - sum(map(len, documents[i]))
        if batch and (size > batch_tokens or (8 * n_tokens > batch_tokens and 8 * padding > size)):
            yield batch
            batch, n_rows, n_tokens = [], 0, 0
        batch.append(i)
        n_rows += len(documents[i])
        n_tokens += sum(map(len, documents[i]))
    if batch:
        yield batch


def score_rows(model: GPT, rows: Sequence[Row]) -> list[list[Score]]:
    """Return the scores of each row's requests, from one forward pass."""
    found = zip(*(column.tolist() for column in token_losses(model, rows)), strict=True)
    scores: list[list[Score]] = []
    for row in rows:
        each = [list(itertools.islice(found, len(targets))) for targets in row.targets]
        scores.append(
            [Score(-math.fsum(x for x, _ in part), all(hit for _, hit in part)) for part in each]
        )
    return scores


@torch.inference_mode()
def token_losses(model: GPT, rows: Sequence[Row]) -> tuple[Losses, Hits]:
    """Return each target's cross entropy (M,), and whether it was the likeliest token (M,)."""
    batch = batch_of(rows, model.device)
    with evaluation_mode(model):
        hidden = model.hidden_states(batch.tokens, batch.cache).flatten(0, 1)  # (B * T, D)
        at_once = rows_at_once(model.config.vocab_size)
        losses, hits = [], []
        for first in range(0, len(batch.targets), at_once):
            some = slice(first, first + at_once)
            targets = batch.targets[some]
            logits = model.lm_head(hidden[batch.places[some]]).float()  # (at_once, V)
            losses.append(F.cross_entropy(logits, targets, reduction="none"))
            hits.append(logits.argmax(-1) == targets)
    return torch.cat(losses).cpu().numpy(), torch.cat(hits).cpu().numpy()
