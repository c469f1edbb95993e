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
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from groundup.config import GPTConfig
from groundup.model.norms import NORMS, Norms, build_norm
from groundup.model.positions import Rotate, unrotated
from groundup.model.soft_cap import Cap, soft_cap, uncapped

LEAST_BLOCK = 32
"""Queries at least that a window's blocks have: smaller products are slow."""
SCORES_AT_ONCE = {"cpu": 1 << 20, "cuda": 1 << 27}
"""Scores that are written out at once, at most, where they are bounded; a row at least."""


class Mask(NamedTuple):
    """Who may look at whom: a table of permissions, or the plain causal triangle.

    `window` narrows the triangle to so many tokens, the looking one included. The first row is
    that of token `first`: above 0 in a part of the rows.
    """

    allowed: Bool[Tensor, "... T S"] | None
    is_causal: bool
    window: int | None = None
    first: int = 0

    def table(self, n_new: int, n_seen: int, device: torch.device) -> Bool[Tensor, "... T S"]:
        """Write the permissions out."""
        if self.allowed is not None:
            return self.allowed
        table = torch.ones(n_new, n_seen, dtype=torch.bool, device=device)
        table = table.tril(self.first) if self.is_causal else table
        return table if self.window is None else table.triu(self.first + 1 - self.window)

    def rows(self, first: int, last: int) -> Mask:
        """Return the permissions of the tokens from `first` up to `last` alone."""
        allowed = None if self.allowed is None else self.allowed[..., first:last, :]
        return self._replace(allowed=allowed, first=self.first + first)


CAUSAL = Mask(None, True)


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


Attend = Callable[..., Tensor]
"""A way to compute attention, called as `plain_attention` is; all give the same numbers.

The cap is given, by its name, where the config bounds the scores.
"""


def attention_weights(
    query: Float[Tensor, "B N T H"],
    key: Float[Tensor, "B K S H"],
    mask: Mask,
    scale: float | None = None,
    cap: Cap = uncapped,
) -> Float[Tensor, "B N T S"]:
    """Return how much each new token takes from each one seen: rows of weights that sum to 1.

    A score is the product of query and key times `scale` (1 / sqrt(H) where None), within `cap`.
    """
    key = _for_each_query(key, query)  # (B, N, S, H)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = cap(query @ key.transpose(-2, -1) * scale)  # (B, N, T, S)
    allowed = mask.table(query.shape[-2], key.shape[-2], query.device)
    return scores.masked_fill(~allowed, -torch.inf).softmax(dim=-1)


def plain_attention(
    query: Float[Tensor, "B N T H"],
    key: Float[Tensor, "B K S H"],
    value: Float[Tensor, "B K S H"],
    mask: Mask,
    drop_rate: float = 0.0,
    scale: float | None = None,
    cap: Cap = uncapped,
) -> Float[Tensor, "B N T H"]:
    """Mix the values by how well each query matches each key, one readable step at a time."""
    weights = attention_weights(query, key, mask, scale, cap)  # (B, N, T, S)
    return F.dropout(weights, drop_rate) @ _for_each_query(value, query)  # (B, N, T, H)


def _for_each_query(x: Float[Tensor, "B K S H"], query: Tensor) -> Float[Tensor, "B N S H"]:
    return x.repeat_interleave(query.shape[1] // x.shape[1], dim=1)


def fused_attention(
    query: Float[Tensor, "B N T H"],
    key: Float[Tensor, "B K S H"],
    value: Float[Tensor, "B K S H"],
    mask: Mask,
    drop_rate: float = 0.0,
    scale: float | None = None,
    cap: Cap = uncapped,
) -> Float[Tensor, "B N T H"]:
    """Do the same as `plain_attention` in one kernel that never stores the (T, S) scores.

    No such kernel knows of windows or bounds the scores: see `_by_blocks` and `_by_chunks`.
    """
    n_new, n_seen = query.shape[-2], key.shape[-2]
    if mask.window is not None and mask.window < n_new == n_seen:
        kernel = _by_chunks if drop_rate else fused_attention  # few kernels know both, and a mask
        attend = partial(kernel, drop_rate=drop_rate, scale=scale, cap=cap)
        return _by_blocks(attend, query, key, value, mask.window)
    if cap is not uncapped:
        return _by_chunks(query, key, value, mask, drop_rate, scale, cap)
    allowed = mask.allowed
    if mask.window is not None or mask.first:
        allowed = mask.table(n_new, n_seen, query.device)
    return F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=allowed,
        dropout_p=drop_rate,
        is_causal=mask.is_causal and allowed is None,
        scale=scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def _by_blocks(
    attend: Attend,
    query: Float[Tensor, "B N T H"],
    key: Float[Tensor, "B K T H"],
    value: Float[Tensor, "B K T H"],
    window: int,
) -> Float[Tensor, "B N T H"]:
    """Attend within a window that is shorter than T, at a cost of T x window.

    Block by block of queries, each with the keys that it sees: a batch of small problems with one
    mask. The head, the first tokens, is what leaves whole blocks, and is no shorter than a window.
    """
    n_blocked = query.shape[2] - window
    block = min(max(LEAST_BLOCK, window // 4), n_blocked)
    head, reach = window + n_blocked % block, block + window
    mask = CAUSAL
    if head > window:
        mask = Mask(Mask(None, True, window).table(head, head, query.device), False)
    # Copies, so that nobody keeps what they were cut from.
    first = attend(*(x[:, :, :head].contiguous() for x in (query, key, value)), mask)
    near = Mask(None, True, window, window).table(block, reach, query.device)
    keys, values = (_blocks(x[:, :, head - window :], reach, block) for x in (key, value))
    rest = attend(_blocks(query[:, :, head:], block, block), keys, values, Mask(near, False))
    rest = rest.transpose(0, 1).reshape(*query.shape[:2], -1, query.shape[-1])
    return torch.cat([first, rest], dim=2)


def _blocks(
    x: Float[Tensor, "B heads T H"], size: int, step: int
) -> Float[Tensor, "blocks B*heads size H"]:
    """Return a block of `size` tokens for every `step` of them: views, where they overlap, too."""
    return x.contiguous().unfold(2, size, step).permute(2, 0, 1, 4, 3).flatten(1, 2)


def _by_chunks(
    query: Float[Tensor, "B N T H"],
    key: Float[Tensor, "B K S H"],
    value: Float[Tensor, "B K S H"],
    mask: Mask,
    drop_rate: float,
    scale: float | None,
    cap: Cap,
) -> Float[Tensor, "B N T H"]:
    """Do as `plain_attention`, some rows of scores at a time, which the backward pass repeats."""
    kind = query.device.type
    if torch.is_autocast_enabled(kind):  # it is off on the way back
        query, key, value = (x.to(torch.get_autocast_dtype(kind)) for x in (query, key, value))
        with torch.autocast(kind, enabled=False):
            return _by_chunks(query, key, value, mask, drop_rate, scale, cap)
    n_new, n_seen = query.shape[2], key.shape[2]
    at_once = SCORES_AT_ONCE.get(kind, SCORES_AT_ONCE["cpu"])
    n_rows = max(1, at_once // (query.shape[0] * query.shape[1] * n_seen))
    again: Callable[..., Tensor] = _Again.apply
    if drop_rate or torch.compiler.is_compiling():  # it draws the same, and can be compiled
        again = partial(checkpoint, use_reentrant=False)
    mixed = []
    for first in range(0, n_new, n_rows):
        last = min(first + n_rows, n_new)
        seen = last if mask.allowed is None and mask.is_causal else n_seen
        rows = mask.rows(first, last)
        attend = partial(plain_attention, mask=rows, drop_rate=drop_rate, scale=scale, cap=cap)
        mixed.append(again(attend, query[:, :, first:last], key[:, :, :seen], value[:, :, :seen]))
    return torch.cat(mixed, dim=2)


class _Again(torch.autograd.Function):
    """A call that keeps what it was given alone, and is repeated on the way back.

    `torch.utils.checkpoint` does so, too, and loads torch's compiler: 81 MiB, and seconds.
    """

    @staticmethod
    def forward(ctx: Any, attend: Attend, *given: Tensor) -> Tensor:
        ctx.attend = attend
        ctx.save_for_backward(*given)
        return attend(*given)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        given = [x.detach().requires_grad_() for x in ctx.saved_tensors]
        with torch.enable_grad():
            output = ctx.attend(*given)
        return None, *torch.autograd.grad(output, given, gradient)


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
