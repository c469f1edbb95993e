"""A model and its tokenizer, in this order and made for each other."""

from __future__ import annotations

from torch import nn

from groundup.base.errors import UsageError
from groundup.config import GPTConfig
from groundup.tokenizer import Tokenizer


def check_pair(model: object, tokenizer: object, call: str) -> None:
    """Refuse what is not a model and a tokenizer, and ids that the model does not know.

    The first is a `TypeError`, as of arguments in another order; the second a `UsageError`.
    """
    config = model.config if isinstance(model, nn.Module) and hasattr(model, "config") else None
    if not (isinstance(config, GPTConfig) and isinstance(tokenizer, Tokenizer)):
        given = f"a {type(model).__name__} and a {type(tokenizer).__name__}"
        raise TypeError(
            f"{call} of {given}: expected a GPT, then its tokenizer; write "
            f"{call}(model, tokenizer, ...), of a loaded run {call}(run.model, run.tokenizer, ...)"
        )
    known, expected = tokenizer.vocab_size, config.vocab_size
    if known > expected:
        raise UsageError(
            f"the tokenizer has {known} tokens, but the model was made for {expected}; use the "
            "tokenizer that it was trained with, or make the model with "
            f"vocab_size={known}"
        )
