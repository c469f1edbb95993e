"""Attention by blocks of queries, whose scores are forgotten and computed again on the way back.

So no more than a block's scores are ever in memory (Dao et al., 2022, "FlashAttention"), though the
products and the softmax are the library's own, one after the other. On a CPU they are faster than
its one kernel in 16 bits, whose backward pass multiplies in fp32 or number by number. What a window
hides from a whole block is not computed.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from groundup.attend.mask import Mask
from groundup.attend.soft_cap import Cap, uncapped

BLOCK = 128
"""Queries of a block, at most: with more, more of a causal triangle is computed in vain."""
SCORES_AT_ONCE = {"cpu": 1 << 22, "cuda": 1 << 27}
"""Scores in memory, where a text's own block does not have more."""
LEAST = -1e30
"""A score that takes no part: finite, so that a row of them is no division by zero."""


def blockwise_attention(
    query: Float[Tensor, "B N T H"],
    key: Float[Tensor, "B K S H"],
    value: Float[Tensor, "B K S H"],
    mask: Mask,
    drop_rate: float = 0.0,
    scale: float | None = None,
    cap: Cap = uncapped,
) -> Float[Tensor, "B N T H"]:
    """Do the same as `plain_attention`, in memory that grows with T and S alone.

    The products are in the format of autocast, softmax and sums over blocks in fp32 at least. A
    query that may see nothing gets a mean of values, for which nobody should ask.
    """
    kind = query.device.type
    autocast = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    # As everywhere, autocast leaves fp64 as it is.
    narrows = autocast and query.dtype != torch.float64
    number = torch.get_autocast_dtype(kind) if narrows else query.dtype
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    seed = int(torch.randint(1 << 62, (), device="cpu")) if drop_rate else 0
    if mask.allowed is not None or not mask.is_causal:
        mask = _written_out(mask, query.shape[-2], key.shape[-2], query.device)
    with torch.autocast(kind, enabled=False) if autocast else contextlib.nullcontext():
        mixed: Tensor = _Blockwise.apply(  # type: ignore[no-untyped-call]
            query, key, value, _How(mask, drop_rate, scale, cap, number, seed)
        )
    return mixed


def _written_out(mask: Mask, n_new: int, n_seen: int, device: torch.device) -> Mask:
    """Return a mask with a table that has a row for each query, if it hides anything."""
    if mask.allowed is None and mask.window is None:
        return mask
    table = mask.table(n_new, n_seen, device)
    return Mask(table.expand(*table.shape[:-2], n_new, n_seen), False)


class _How(NamedTuple):
    """What holds for every block of a call."""

    mask: Mask
    drop_rate: float
    scale: float
    cap: Cap
    number: torch.dtype
    seed: int
    """Of what is dropped: the same both ways."""


class _Blockwise(torch.autograd.Function):
    """Queries are (B, K, N / K, T, H) here, so that those of a head of keys are its rows."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, how: _How) -> Tensor:
        q, k, v = (_narrow(x, how.number) for x in (query, key, value))
        q = q.view(*k.shape[:2], q.shape[1] // k.shape[1], *q.shape[2:])
        ctx.save_for_backward(q, k, v)
        ctx.how, ctx.formats = how, (query.dtype, key.dtype, value.dtype)
        mixed = torch.empty_like(q)
        draw = _Draw(how, q.device)
        for block in _blocks(q, k, how.mask):
            weights, _ = block.weights(q, k, how, needs_slope=False)
            block.put(mixed, draw.drop(weights) @ block.seen(v))
        return mixed.flatten(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        how: _How = ctx.how
        q, k, v = ctx.saved_tensors
        gradient = _narrow(gradient, how.number).view_as(q)
        wide = torch.promote_types(how.number, torch.float32)
        grad_q = torch.empty_like(q)
        grad_k, grad_v = (torch.zeros_like(k, dtype=wide) for _ in range(2))
        draw = _Draw(how, q.device)
        for block in _blocks(q, k, how.mask):
            weights, slope = block.weights(q, k, how, needs_slope=how.cap.limit > 0)
            of_mixed = block.asking(gradient)
            block.seen(grad_v).add_(draw.drop(weights).mT @ of_mixed)
            of_weights = draw.drop_again(of_mixed @ block.seen(v).mT)
            of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
            of_scores *= how.scale if slope is None else slope.mul_(how.scale)
            block.put(grad_q, of_scores @ block.seen(k))
            block.seen(grad_k).add_(of_scores.mT @ block.asking(q))
        grads = grad_q.flatten(1, 2), grad_k, grad_v
        return *(x.to(number) for x, number in zip(grads, ctx.formats, strict=True)), None


class _Block(NamedTuple):
    """Some texts, some of their queries, and the keys that these may see."""

    texts: slice
    queries: slice
    keys: slice

    def asking(self, x: Float[Tensor, "B K G T H"]) -> Float[Tensor, "heads rows H"]:
        """Return this block's part of what there is of each query."""
        return x[self.texts, :, :, self.queries].flatten(2, 3).flatten(0, 1)

    def seen(self, x: Float[Tensor, "B K S H"]) -> Float[Tensor, "heads seen H"]:
        """Return this block's part of what there is of each key: a view."""
        part = x[self.texts, :, self.keys]
        return part.view(-1, *part.shape[2:])

    def put(self, x: Float[Tensor, "B K G T H"], part: Float[Tensor, "heads rows H"]) -> None:
        """Write this block's part of what there is of each query."""
        own = x[self.texts, :, :, self.queries]
        own.copy_(part.view_as(own))

    def weights(
        self, q: Tensor, k: Tensor, how: _How, needs_slope: bool
    ) -> tuple[Float[Tensor, "heads rows seen"], Tensor | None]:
        """Return how much each query takes of each key, and the slope of the cap where needed."""
        scores = self.asking(q) @ self.seen(k).mT
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32)).mul_(how.scale)
        scores = how.cap(scores)
        slope = how.cap.slope(scores).to(how.number) if needs_slope else None
        n_heads, n_rows = q.shape[1] * q.shape[2], self.queries.stop - self.queries.start
        self._hide(scores.view(-1, n_heads, n_rows, scores.shape[-1]), how.mask)
        weights = torch.softmax(scores, dim=-1, out=scores)  # in the same memory
        return weights.to(how.number), slope

    def _hide(self, scores: Float[Tensor, "texts N rows seen"], mask: Mask) -> None:
        """Let scores that the mask forbids take no part."""
        if mask.allowed is not None:
            allowed = mask.allowed[..., self.queries, self.keys]
            allowed = allowed[self.texts] if allowed.dim() == 4 and len(allowed) > 1 else allowed
            scores += _as_score(allowed, scores)
        elif mask.is_causal:
            n_rows, n_seen = scores.shape[-2:]
            # Without a window those before the block are seen by all of it.
            first = 0 if mask.window else max(0, n_seen - n_rows)
            rows = mask.rows(self.queries.start, self.queries.stop)
            allowed = rows.table(n_rows, self.keys.stop, scores.device)
            scores[..., first:] += _as_score(allowed[:, self.keys.start + first :], scores)


def _as_score(allowed: Tensor, scores: Tensor) -> Tensor:
    """Return what is added to a score: much faster than to write where a score is forbidden."""
    return scores.new_zeros(allowed.shape).masked_fill_(~allowed, LEAST)


def _blocks(q: Float[Tensor, "B K G T H"], k: Tensor, mask: Mask) -> Iterator[_Block]:
    """Yield the blocks of a call, the same for both ways."""
    n_texts, n_keys, group, n_queries, _ = q.shape
    n_seen = k.shape[2]
    plain = mask.allowed is None and mask.is_causal
    reach = min(n_seen, mask.window + BLOCK) if plain and mask.window else n_seen
    most, heads = SCORES_AT_ONCE.get(q.device.type, SCORES_AT_ONCE["cpu"]), n_keys * group
    n_rows = min(BLOCK, n_queries, max(1, most // (heads * reach)))
    n_at_once = max(1, most // (heads * reach * n_rows))
    for text in range(0, n_texts, n_at_once):
        texts = slice(text, min(text + n_at_once, n_texts))
        for first in range(0, n_queries, n_rows):
            last = min(first + n_rows, n_queries)
            begin = max(0, mask.first + first + 1 - mask.window) if plain and mask.window else 0
            end = min(mask.first + last, n_seen) if plain else n_seen
            yield _Block(texts, slice(first, last), slice(begin, end))


class _Draw:
    """What is dropped, block by block: the same both ways."""

    def __init__(self, how: _How, device: torch.device) -> None:
        self.rate = how.drop_rate
        self.kept: Tensor | None = None
        if self.rate:
            self.generator = torch.Generator(device).manual_seed(how.seed)

    def drop(self, weights: Tensor) -> Tensor:
        """Return weights without what the next draw leaves out, the rest larger."""
        if not self.rate:
            return weights
        self.kept = torch.empty_like(weights).bernoulli_(1 - self.rate, generator=self.generator)
        self.kept /= 1 - self.rate
        return weights * self.kept

    def drop_again(self, gradient: Tensor) -> Tensor:
        """Return the gradient of what the last draw left."""
        return gradient if self.kept is None else gradient * self.kept


def _narrow(x: Tensor, number: torch.dtype) -> Tensor:
    """Return `x` in a number format, in one piece of memory."""
    return x.to(number, memory_format=torch.contiguous_format).contiguous()
