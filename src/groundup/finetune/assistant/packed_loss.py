"""How well a model expects the replies of dialogues that it has not learnt."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from groundup.data.batch import IGNORED
from groundup.evaluate.loss import loss_sum
from groundup.finetune.assistant.packing import PackedRows, attention_within
from groundup.generate.replies import DialogueIds
from groundup.model import GPT, evaluation_mode

TOKENS_AT_ONCE = 4096
"""Tokens that go through the model together, at least those of one row."""


def packed_loss(
    model: GPT,
    rows: Sequence[DialogueIds],
    row_length: int,
    most: int | None = None,
    between: Callable[[], None] = lambda: None,
) -> tuple[float, int]:
    """Return the mean loss (nats) of the targets that count, and how many they are.

    `most` tokens of dialogues are read, in their order (None: all), packed into rows of
    `row_length`; `between` is called after each batch. The model is as it was before.
    """
    chosen, n_read = list[DialogueIds](), 0
    for row in rows:
        n_read += row.n_read
        if most is not None and n_read > most and chosen:
            break
        chosen.append(row)
    source = PackedRows(chosen, row_length, max(1, TOKENS_AT_ONCE // row_length), seed=0)
    sums, n_targets = list[float](), 0
    with torch.no_grad(), evaluation_mode(model):
        for first in range(0, source.n_rows, source.order.batch_size):
            batch = source.rows(first, min(source.order.batch_size, source.n_rows - first))
            tokens, targets, positions = (
                torch.from_numpy(batch.arrays[name]).to(model.device)
                for name in ("tokens", "targets", "positions")
            )
            counts = targets != IGNORED
            hidden = model.hidden_states(tokens, attention_within(positions))[counts]
            sums.append(float(loss_sum(model, hidden, targets[counts])))
            n_targets += len(hidden)
            between()
    return math.fsum(sums) / max(1, n_targets), n_targets
