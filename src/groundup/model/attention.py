"""Causal multi-head self-attention (Vaswani et al., 2017, section 3.2).

One legend for every shape comment in this folder:

    B batch            T new tokens        S tokens seen so far (S = T without a cache)
    D emb_dim          N heads             K heads of keys and values, N / K queries to each
    H head_dim         F ffn_dim           E experts
    V vocab_size
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundup.attend import CAUSAL, Attend, Mask, fused_attention, soft_cap, with_sink
from groundup.config import GPTConfig
from groundup.model.norms import NORMS, Norms, build_norm
from groundup.model.positions import Rotate, unrotated


@runtime_checkable
class Cache(Protocol):
    """What a model asks of its memory; `NO_CACHE` remembers nothing, `generate` has real ones."""

    def positions(self, n_new: int) -> slice | Tensor:
        """Return the positions of the next `n_new` tokens, as an index into a table of them."""

    def mask(self, window: int | None, n_new: int) -> Mask:
        """Return who the next `n_new` tokens may look at in a layer with this window."""

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Remember the new keys and values (B, K, T, H) and return all of them (B, K, S, H)."""

    def advance(self, n_new: int) -> None:
        """Move on by `n_new` tokens once every layer has been extended."""


class NoCache:
    """Attention to the given tokens only: position 0 comes first and nothing came before."""

    def positions(self, n_new: int) -> slice:
        """Return positions 0 to `n_new`."""
        return slice(0, n_new)

    def mask(self, window: int | None, n_new: int) -> Mask:
        """Let each token see itself and those before it, as far as the window reaches."""
        return CAUSAL if window is None or n_new <= window else Mask(None, True, window)

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return what was given."""
        return key, value

    def advance(self, n_new: int) -> None:
        """Forget."""


NO_CACHE = NoCache()


class MultiHeadAttention(nn.Module):
    """Let every token gather what it needs from the tokens before it, in N ways at once.

    With fewer heads of keys and values than of queries, neighbouring queries share them (GQA:
    Ainslie et al., 2023).
    """

    def __init__(
        self,
        config: GPTConfig,
        layer: int,
        attend: Attend = fused_attention,
        norms: Norms = NORMS,
    ) -> None:
        super().__init__()
        width, head = config.emb_dim, config.head_dim
        queries, keys = config.n_heads * head, config.n_kv_heads * head
        self.layer = layer
        self.head_dim = head
        self.window = config.window_of(layer)
        self.scale = 1 / math.sqrt(config.query_pre_attn_scalar or head)
        self.drop_rate = config.attention_dropout
        self.attend = attend
        if config.attention_softcap:
            self.attend = partial(attend, cap=soft_cap(config.attention_softcap))
        self.has_sinks = config.attention_sinks
        if self.has_sinks:
            self.sinks = nn.Parameter(torch.zeros(config.n_heads))
        self.query = nn.Linear(width, queries, bias=config.qkv_bias)
        self.key = nn.Linear(width, keys, bias=config.qkv_bias)
        self.value = nn.Linear(width, keys, bias=config.qkv_bias)
        self.out = nn.Linear(queries, width, bias=config.bias)
        self.normed = (-1, head) if config.qk_norm == "head" else (1, -1)
        self.query_norm = build_qk_norm(config, queries, norms)
        self.key_norm = build_qk_norm(config, keys, norms)
        self.dropout = nn.Dropout(config.drop_rate)

    def forward(
        self, x: Float[Tensor, "B T D"], cache: Cache = NO_CACHE, rotate: Rotate = unrotated
    ) -> Float[Tensor, "B T D"]:
        """Return the gathered information for each token of `x`."""
        query = self.query_norm(self.query(x).unflatten(-1, self.normed))  # (B, T, groups, ...)
        key = self.key_norm(self.key(x).unflatten(-1, self.normed))
        query, key = rotate(self._heads(query)), rotate(self._heads(key))  # (B, N or K, T, H)
        value = self._heads(self.value(x))  # (B, K, T, H)
        key, value = cache.extend(self.layer, key, value)  # (B, K, S, H)
        mask = cache.mask(self.window, x.shape[1])
        drop_rate = self.drop_rate if self.training else 0.0
        if self.has_sinks:
            given = with_sink(query, key, value, mask, self.sinks / self.scale)
            mixed = self.attend(*given, drop_rate, self.scale)[..., :-1]
        else:
            mixed = self.attend(query, key, value, mask, drop_rate, self.scale)
        return self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))  # (B, T, D)

    def _heads(self, x: Float[Tensor, "B T ..."]) -> Float[Tensor, "B heads T H"]:
        return x.reshape(*x.shape[:2], -1, self.head_dim).transpose(1, 2)


ATTENTIONS: dict[str, Callable[..., nn.Module]] = {"multi_head": MultiHeadAttention}


def build_qk_norm(config: GPTConfig, width: int, norms: Norms = NORMS) -> nn.Module:
    """Return the norm of queries or keys that are `width` wide in all, or one that does nothing.

    Bounding their size keeps the scores from growing while training (Henry et al., 2020).
    """
    widths = {"head": config.head_dim, "width": width}
    if config.qk_norm not in widths:
        return nn.Identity()
    return build_norm(config, widths[config.qk_norm], norms)
