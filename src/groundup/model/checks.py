"""What is given to a model, checked by type and shape alone: nothing waits for a device.

What is no batch of ids is a `TypeError`, too many of them are a `ValueError`, and one beyond the
vocabulary is an `IndexError`: one line each, which says what to write.
"""

from __future__ import annotations

import torch
from torch import Tensor

from groundup.config import GPTConfig


def check_config(config: object) -> None:
    """Refuse what is no `GPTConfig`: a dictionary of its fields, the name of a preset."""
    if isinstance(config, GPTConfig):
        return
    hint = "GPT(GPTConfig(emb_dim=384, n_heads=6)) or GPT(preset('nano'))"
    if isinstance(config, dict):
        hint = "GPT(GPTConfig(**config))"
    elif isinstance(config, str):
        hint = f"GPT(preset({config[:40]!r}))"
    raise TypeError(f"GPT of a {type(config).__name__}: expected a GPTConfig; write {hint}")


def check_tokens(tokens: Tensor, context_length: int) -> int:
    """Return T of `tokens` (B, T), which must be whole numbers and fit into the context."""
    if not isinstance(tokens, Tensor):
        raise TypeError(
            f"tokens are a {type(tokens).__name__}: expected an integer tensor (B, T); write "
            "torch.tensor([ids]) for a list of ids, or generate(model, tokenizer, text) for a text"
        )
    if tokens.dim() != 2:
        hint = "; write tokens[None] for a batch of one row" if tokens.dim() == 1 else ""
        raise TypeError(f"tokens have the shape {tuple(tokens.shape)}: expected (B, T){hint}")
    if tokens.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"tokens are {tokens.dtype}: expected whole numbers; write tokens.long()")
    n_tokens = tokens.shape[1]
    if not 1 <= n_tokens <= context_length:
        raise ValueError(
            f"{n_tokens} tokens given, but the model sees at least 1 and at most "
            f"context_length = {context_length} at once"
        )
    return n_tokens


def unknown_token(tokens: Tensor, vocab_size: int) -> IndexError:
    """Say which of `tokens` the vocabulary lacks, once the embedding has failed to find one."""
    unknown = tokens[(tokens < 0) | (tokens >= vocab_size)]
    return IndexError(
        f"token id {unknown[0].item()}: expected 0 to {vocab_size - 1}, as vocab_size = "
        f"{vocab_size}; encode with the tokenizer that the model was made for"
    )
