"""How well a model expects a text: mean loss, perplexity and bits per byte."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from groundup.base.errors import DataError, UsageError
from groundup.data import IGNORED, TokenSplit
from groundup.model import GPT, evaluation_mode
from groundup.processes.alone import ALONE, Alone

LOGITS_AT_ONCE = 1 << 20
"""Scores held in memory at once, 4 MiB in fp32: no more are faster."""
LEAST_ROWS = 128
"""So many tokens' scores are, however large the vocabulary is."""

Tokens = npt.NDArray[np.int64]

OnProgress = Callable[[int, int], None]
"""Called with the tokens done and the tokens in all."""


def silent(done: int, total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a model's predictions of a text were worth."""

    loss: float
    """Mean cross entropy of a token, in nats."""
    perplexity: float
    """exp(loss): among how many equally likely tokens the model hesitates."""
    bits_per_byte: float
    """Bits a byte of UTF-8 text costs; comparable between tokenizers, as the loss is not."""
    tokens: int
    """Tokens predicted."""
    seconds: float
    """Time taken."""

    def figures(self) -> dict[str, float]:
        """Return what a line of metrics.jsonl says of it."""
        return {
            "val_loss": self.loss,
            "val_perplexity": self.perplexity,
            "val_bits_per_byte": self.bits_per_byte,
        }


def evaluate_loss(
    model: GPT,
    split: TokenSplit,
    *,
    context_length: int | None = None,
    batch_size: int = 16,
    max_tokens: int | None = None,
    progress: OnProgress = silent,
    helpers: Alone = ALONE,
) -> Evaluation:
    """Predict every token of `split` but its first, in consecutive windows of context_length.

    Each window starts with an empty context; the last may be shorter. With `max_tokens`, about so
    many tokens are predicted, in whole windows spread evenly over the split: the same ones each
    time. `batch_size` windows go through the model at once, and `progress` is told of them. Only
    the few numbers of the result stay, and no random generator is touched. A byte holds the split's
    average of tokens, so that the first token, which nothing predicts, costs the mean. `helpers`
    share the work: each calls this with the same arguments, and all get the same result.
    """
    begun = time.perf_counter()
    longest = model.config.context_length
    length = longest if context_length is None else context_length
    if not 1 <= length <= longest:
        raise UsageError(
            f"context_length = {length}: expected 1 to {longest}, the most the model sees at once"
        )
    if batch_size < 1:
        raise UsageError(f"batch_size = {batch_size}: expected 1 or more")
    if split.n_tokens < 2:
        raise DataError(f"{split.n_tokens} tokens to evaluate: expected 2 or more; give more text")
    starts = window_starts(split.n_tokens, length, max_tokens)
    batches = list(range(0, len(starts), min(batch_size, len(starts))))
    rank, size = helpers.rank, helpers.size
    # One array of all: numbers of their own would lie in the heap between blocks that are freed,
    # and no such hole would be large enough for the next block.
    losses = torch.zeros(len(batches), device=model.device)
    total = sum(min(length, split.n_tokens - 1 - start) for start in starts)
    # What several processes gather for a forward pass is used in training again.
    without_gradients = torch.inference_mode() if size == 1 else torch.no_grad()
    with without_gradients, evaluation_mode(model):
        for first in range(0, len(batches), size):
            number = min(first + rank, len(batches) - 1)  # all compute as often as the first
            some = starts[batches[number] : batches[number] + batch_size]
            loss_sum = _loss_sum(model, *_batch(split, some, length, min(batch_size, len(starts))))
            if number == first + rank:
                losses[number] = loss_sum
            progress(min(total, (first + size) * batch_size * length), total)
        loss = math.fsum(helpers.add(losses.cpu()).tolist()) / total
    bits = loss / math.log(2)
    return Evaluation(
        loss=loss,
        perplexity=exp(loss),
        bits_per_byte=bits * split.n_tokens / (split.n_bytes or math.nan),
        tokens=total,
        seconds=time.perf_counter() - begun,
    )


def exp(value: float) -> float:
    """Return e to the power of `value`, infinity where no float is large enough."""
    return math.exp(value) if value < 700 else math.inf


def rows_at_once(vocab_size: int) -> int:
    """Return for how many tokens to hold the scores of all `vocab_size` next ones at once."""
    return max(LEAST_ROWS, LOGITS_AT_ONCE // vocab_size)


def window_starts(n_tokens: int, length: int, max_tokens: int | None) -> range | list[int]:
    """Return where windows of `length` begin: all of them, or the middles of equal shares."""
    starts = range(0, n_tokens - 1, length)
    if max_tokens is None or max_tokens >= n_tokens - 1:
        return starts
    n_chosen = min(len(starts), max(1, max_tokens // length))
    return [starts[(2 * i + 1) * len(starts) // (2 * n_chosen)] for i in range(n_chosen)]


def _batch(
    split: TokenSplit, starts: Sequence[int], length: int, batch_size: int
) -> tuple[Tokens, Tokens]:
    """Return inputs and targets (batch_size, length) int64, padded where nothing is left.

    All batches have one shape, so that a compiled model is compiled once.
    """
    inputs = np.zeros((batch_size, length), dtype=np.int64)
    targets = np.full_like(inputs, IGNORED)
    for row, start in enumerate(starts):
        window = split.read(start, min(length + 1, split.n_tokens - start))
        inputs[row, : len(window) - 1] = window[:-1]
        targets[row, : len(window) - 1] = window[1:]
    return inputs, targets


def _loss_sum(model: GPT, inputs: Tokens, targets: Tokens) -> Float[Tensor, ""]:
    """Return the summed loss of a batch."""
    device = model.device
    hidden = model.hidden_states(torch.from_numpy(inputs).to(device)).flatten(0, 1)  # (B * T, D)
    return loss_sum(model, hidden, torch.from_numpy(targets).to(device).flatten())


def loss_sum(
    model: GPT, hidden: Float[Tensor, "N D"], expected: Int[Tensor, " N"]
) -> Float[Tensor, ""]:
    """Return the summed loss of the next tokens, with the scores of a few in memory at a time."""
    at_once = rows_at_once(model.config.vocab_size)
    chunks = range(0, len(expected), at_once)
    sums = torch.zeros(len(chunks), device=hidden.device)
    for i, first in enumerate(chunks):
        some = slice(first, first + at_once)
        logits = model.lm_head(hidden[some]).float()
        sums[i] = F.cross_entropy(logits, expected[some], ignore_index=IGNORED, reduction="sum")
        del logits  # before the next are made
    return sums.sum()
