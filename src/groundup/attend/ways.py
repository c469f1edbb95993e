"""Ways to compute attention: plain to read, or in one kernel (see also `blockwise`)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from groundup.attend.blockwise import blockwise_attention
from groundup.attend.mask import Mask
from groundup.attend.soft_cap import Cap, uncapped

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

    No such kernel knows of windows or bounds the scores, and a CPU's is slow in 16 bits on the way
    back: these are `blockwise_attention`'s, also where no way back follows, for the same numbers.
    """
    n_new, n_seen = query.shape[-2], key.shape[-2]
    is_windowed = mask.window is not None and mask.window < n_new == n_seen
    is_slow = n_new == n_seen > 1 and _is_narrowed(query)
    if cap.limit or is_windowed or is_slow:
        return blockwise_attention(query, key, value, mask, drop_rate, scale, cap)
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


def _is_narrowed(query: Tensor) -> bool:
    """Return whether a CPU computes under autocast."""
    return query.device.type == "cpu" and torch.is_autocast_enabled("cpu")
