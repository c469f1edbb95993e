"""How much of a text goes through a model at once when it is validated in a training.

A forward pass that keeps nothing is cheap beside one that is learnt from, but it is not nothing:
scores that attention writes out are of every pair of tokens, and few layers keep little.
"""

from __future__ import annotations

from groundup.config import GPTConfig, TrainConfig, foreign_parts
from groundup.plan.attention import FP32
from groundup.plan.generation import reading
from groundup.plan.memory import optimizer_memory, training_memory

TOKENS_AT_ONCE = 1024
"""Tokens of validation windows that are read at once on a CPU: more are no faster there."""
GPU_TOKENS_AT_ONCE = 4096
"""The same on a GPU, which fewer leave idle."""
LOGITS_AT_ONCE, LEAST_ROWS = 1 << 20, 128
"""Scores that are held at once in a validation, of so many tokens at least
(`groundup.evaluate.loss`)."""


def windows_at_once(config: GPTConfig, train: TrainConfig) -> int:
    """Return how many windows of a validation text to read at once.

    So many as a batch has; where those are few tokens, more, as far as reading them takes no more
    than training does.
    """
    least = train.batch_size
    if foreign_parts(config):
        return least
    at_once = TOKENS_AT_ONCE if train.device in ("auto", "cpu") else GPU_TOKENS_AT_ONCE
    room = _room(config, train)
    windows = at_once // config.context_length
    while windows > least and validation_memory(config, windows) > room:
        windows //= 2
    return max(least, windows)


def validation_memory(config: GPTConfig, windows: int) -> int:
    """Return the bytes that reading so many windows takes beside the model, in fp32."""
    n_tokens = windows * config.context_length
    hidden = FP32 * n_tokens * config.emb_dim
    return max(reading(config, n_tokens, FP32), hidden + scores_memory(config, n_tokens))


def scores_memory(config: GPTConfig, n_tokens: int) -> int:
    """Return the bytes of a chunk's logits and of their log-softmax."""
    rows = max(LEAST_ROWS, LOGITS_AT_ONCE // config.vocab_size)
    return 2 * FP32 * min(rows, n_tokens) * config.vocab_size


def _room(config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes that a training step takes beside what stays from step to step."""
    terms = training_memory(config, train).terms
    passing = sum(terms[name] for name in ("gradients", "optimizer", "activations", "logits"))
    return passing - optimizer_memory(config, train)
