"""More tokens for a model that is there: rows of its embedding and of its output head.

A new row starts as the mean of those there (Hewitt, 2021, "Initializing New Word Embeddings for
Pretrained Language Models"). The logit of a new token is then the mean of the others', so that it
takes at most an n-th of the probability of n tokens; a row near zero, as a new model's are, has a
logit near 0, which may well be far above all others. Small noise tells new tokens apart.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from groundup.model.empty import filled_gpt
from groundup.model.gpt import GPT

NOISE = 0.01
"""Standard deviation of the noise, as a share of that of the rows there, in each dimension."""
TABLES = ("token_embedding.weight", "lm_head.weight", "lm_head.bias")


@torch.no_grad()
def grown(model: GPT, n: int, *, known: int | None = None, seed: int = 0) -> GPT:
    """Return `model` with `n` more tokens, whose ids are `known`, `known + 1` …

    `known` is how many tokens its tokenizer had, at most (and by default) vocab_size; rows beyond,
    which only fill the vocabulary to a round size, are the first to be used for new tokens. All
    other tensors are the model's own, not copies. The logits of the tokens that there were stay as
    they are. Raises `ValueError` for a count that makes no sense, and for a model with adapters or
    quantised weights.
    """
    config = model.config
    known = config.vocab_size if known is None else known
    if n < 0 or not 0 < known <= config.vocab_size:
        raise ValueError(
            f"{n} more tokens than {known}: expected 0 or more, and 1 to {config.vocab_size}"
        )
    size = max(config.vocab_size, known + n)
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = dict(model.named_parameters())
    for name in TABLES:
        if name in tensors and n:
            tensors[name] = _with_rows(tensors[name], known, n, size, generator)
    other = filled_gpt(replace(config, vocab_size=size), tensors, model.parts)
    if others := tensors.keys() ^ dict(other.named_parameters()).keys():
        raise ValueError(
            f"{min(others)} is not what the model's config makes: adapters and quantised weights "
            "do not grow; take the model as it was before it had any"
        )
    return other.train(model.training)


def _with_rows(table: Tensor, known: int, n: int, size: int, generator: torch.Generator) -> Tensor:
    """Return the table (V, ...) with `size` rows, of which `n` from row `known` on are new."""
    old = table[:known].float()
    noise = torch.randn(n, *table.shape[1:], generator=generator).to(table.device)
    spread = old.std(dim=0) if known > 1 else torch.zeros_like(old[0])
    new = old.mean(dim=0) + NOISE * spread * noise
    rows = table.new_empty(size, *table.shape[1:])
    rows[: len(table)] = table
    rows[known : known + n] = new.to(table.dtype)
    return torch.nn.Parameter(rows, requires_grad=table.requires_grad)
