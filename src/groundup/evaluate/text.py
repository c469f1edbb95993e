"""Loss, perplexity and bits per byte of a text of any length, by a sliding window."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from groundup.base.errors import DataError, UsageError
from groundup.evaluate.candidate import Candidate
from groundup.evaluate.likelihood import BATCH_TOKENS, token_losses
from groundup.evaluate.loss import OnProgress, exp, silent
from groundup.evaluate.rows import Ids, Request, row_of


@dataclass(frozen=True, kw_only=True)
class TextResult:
    """What a model's predictions of a text were worth."""

    loss: float
    """Mean cross entropy of a token, in nats."""
    loss_std: float
    """Standard deviation of a token's cross entropy."""
    loss_stderr: float
    """Standard error of the loss, as if tokens were independent; neighbours are not quite."""
    perplexity: float
    """exp(loss)."""
    bits_per_byte: float
    """Bits a byte of the text's UTF-8 costs; comparable between tokenizers."""
    bytes: int
    """Bytes of the text."""
    tokens: int
    """Tokens of the text."""
    predicted: int
    """Tokens predicted: all, or all but the first where nothing stands before it."""
    stride: int
    """Tokens that the window moved on at a time."""
    lossless: bool
    """Whether the tokenizer gives the text back; else its bits leave out what it dropped."""
    seconds: float
    """Time taken."""


def evaluate_text(
    candidate: Candidate,
    text: str,
    *,
    stride: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
    progress: OnProgress = silent,
) -> TextResult:
    """Predict every token of `text` once, in windows of context_length that move by `stride`.

    The first window predicts all its tokens, each later one its last `stride`; so that each of
    those sees context_length - stride + 1 tokens or more before it. The last window ends where the
    text does. By default `stride` is half of context_length. The first token is predicted from the
    candidate's start token, or from end of text; where there is neither, it is not predicted, and
    the bits per byte count it at the mean of the others.
    """
    begun = time.perf_counter()
    longest = candidate.model.config.context_length
    stride = max(1, longest // 2) if stride is None else stride
    if not 1 <= stride <= longest:
        raise UsageError(
            f"stride = {stride}: expected 1 to {longest}, the most the model sees at once"
        )
    if batch_tokens < 1:
        raise UsageError(f"batch_tokens = {batch_tokens}: expected 1 or more")
    ids = candidate.tokenizer.encode_array(text)
    opening = np.array(candidate.opening, dtype=np.int64)
    least = 1 if len(opening) else 2
    if len(ids) < least:
        raise DataError(f"{len(ids)} tokens to evaluate: expected {least} or more; give more text")
    tokens = np.concatenate([opening, ids.astype(np.int64)])
    losses = _losses(candidate, tokens, stride, batch_tokens, progress)
    loss = float(losses.mean())
    n_bytes = len(text.encode("utf-8"))
    std = float(losses.std(ddof=1)) if len(losses) > 1 else math.nan
    return TextResult(
        loss=loss,
        loss_std=std,
        loss_stderr=std / math.sqrt(len(losses)),
        perplexity=exp(loss),
        bits_per_byte=loss / math.log(2) * len(ids) / n_bytes,
        bytes=n_bytes,
        tokens=len(ids),
        predicted=len(losses),
        stride=stride,
        lossless=candidate.tokenizer.decode(ids).strip() == text.strip(),
        seconds=time.perf_counter() - begun,
    )


def windows(n_tokens: int, context_length: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """Yield where each window begins, the first token that it predicts, and where it ends.

    A window reads all its tokens but the last, so context_length of them at most.
    """
    end = 1
    while end < n_tokens:
        first = end
        end = min(n_tokens, first + (context_length if first == 1 else stride))
        yield max(0, end - context_length - 1), first, end


def _losses(
    candidate: Candidate, tokens: Ids, stride: int, batch_tokens: int, progress: OnProgress
) -> npt.NDArray[np.float64]:
    """Return the cross entropy of every token but the first, in order."""
    longest = candidate.model.config.context_length
    rows = (
        row_of(Request(tokens[begin:first].tolist(), tokens[first:end].tolist()), longest)
        for begin, first, end in windows(len(tokens), longest, stride)
    )
    found = []
    done = 0
    while batch := list(itertools.islice(rows, max(1, batch_tokens // longest))):
        losses, _ = token_losses(candidate.model, batch)
        found.append(losses)
        done += len(losses)
        progress(done, len(tokens) - 1)
    return np.concatenate(found).astype(np.float64)
