"""Causal multi-head self-attention (Vaswani et al., 2017, section 3.2).

One legend for every shape comment in this folder:

    B batch            T new tokens        S tokens seen so far (S = T without a cache)
    D emb_dim          N heads             H head_dim = D / N
    F ffn_dim          V vocab_size
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from groundup.config import GPTConfig


class Mask(NamedTuple):
    """Who may look at whom: a table of permissions, or the plain causal triangle."""

    allowed: Bool[Tensor, "... T S"] | None
    is_causal: bool


CAUSAL = Mask(None, True)


@runtime_checkable
class Cache(Protocol):
    """What a model asks of its memory; `NO_CACHE` remembers nothing, `generate` has real ones."""

    def positions(self, n_new: int) -> slice | Tensor:
        """Return the positions of the next `n_new` tokens, as an index into a table of them."""

    def mask(self, layer: int, n_new: int) -> Mask:
        """Return who the next `n_new` tokens of `layer` may look at."""

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Remember the new keys and values (B, N, T, H) and return all of them (B, N, S, H)."""

    def advance(self, n_new: int) -> None:
        """Move on by `n_new` tokens once every layer has been extended."""


class NoCache:
    """Attention to the given tokens only: position 0 comes first and nothing came before."""

    def positions(self, n_new: int) -> slice:
        """Return positions 0 to `n_new`."""
        return slice(0, n_new)

    def mask(self, layer: int, n_new: int) -> Mask:
        """Let each token see itself and those before it."""
        return CAUSAL

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return what was given."""
        return key, value

    def advance(self, n_new: int) -> None:
        """Forget."""


NO_CACHE = NoCache()

Attend = Callable[[Tensor, Tensor, Tensor, Mask, float], Tensor]


def plain_attention(
    query: Float[Tensor, "B N T H"],
    key: Float[Tensor, "B N S H"],
    value: Float[Tensor, "B N S H"],
    mask: Mask,
    drop_rate: float = 0.0,
) -> Float[Tensor, "B N T H"]:
    """Mix the values by how well each query matches each key, one readable step at a time."""
    allowed = mask.allowed
    if allowed is None:
        n_new, n_seen = query.shape[-2], key.shape[-2]
        allowed = torch.ones(n_new, n_seen, dtype=torch.bool, device=query.device)
        allowed = allowed.tril() if mask.is_causal else allowed
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])  # (B, N, T, S)
    weights = scores.masked_fill(~allowed, -torch.inf).softmax(dim=-1)
    return F.dropout(weights, drop_rate) @ value  # (B, N, T, H)


def fused_attention(
    query: Float[Tensor, "B N T H"],
    key: Float[Tensor, "B N S H"],
    value: Float[Tensor, "B N S H"],
    mask: Mask,
    drop_rate: float = 0.0,
) -> Float[Tensor, "B N T H"]:
    """Do the same as `plain_attention` in one kernel that never stores the (T, S) scores."""
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask.allowed, dropout_p=drop_rate, is_causal=mask.is_causal
    )


class MultiHeadAttention(nn.Module):
    """Let every token gather what it needs from the tokens before it, in N ways at once."""

    def __init__(self, config: GPTConfig, layer: int, attend: Attend = fused_attention) -> None:
        super().__init__()
        width = config.emb_dim
        self.layer = layer
        self.n_heads = config.n_heads
        self.drop_rate = config.drop_rate
        self.attend = attend
        self.query = nn.Linear(width, width, bias=config.qkv_bias)
        self.key = nn.Linear(width, width, bias=config.qkv_bias)
        self.value = nn.Linear(width, width, bias=config.qkv_bias)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(config.drop_rate)

    def forward(self, x: Float[Tensor, "B T D"], cache: Cache = NO_CACHE) -> Float[Tensor, "B T D"]:
        """Return the gathered information for each token of `x`."""
        n_new = x.shape[1]
        query, key, value = (self._split(proj(x)) for proj in (self.query, self.key, self.value))
        key, value = cache.extend(self.layer, key, value)  # (B, N, S, H)
        drop_rate = self.drop_rate if self.training else 0.0
        mixed = self.attend(query, key, value, cache.mask(self.layer, n_new), drop_rate)
        return self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))  # (B, T, D)

    def _split(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B N T H"]:
        return x.view(*x.shape[:2], self.n_heads, -1).transpose(1, 2)
