"""A place for attention to go: a key that holds nothing, with a learned score for each head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from groundup.attend.mask import Mask


def with_sink(
    query: Float[Tensor, "B N T H"],
    key: Float[Tensor, "B K S H"],
    value: Float[Tensor, "B K S H"],
    mask: Mask,
    scores: Float[Tensor, " N"],
) -> tuple[Tensor, Tensor, Tensor, Mask]:
    """Return what to attend with so that each head may take nothing instead (gpt-oss, 2025).

    One more key stands before all others and is seen by every query; its product with a query of
    head n is `scores[n]`, before they are scaled, and its value is 0. Vectors are (..., H + 1) for
    that: of what comes of it, the last number is to be left out.
    """
    told = scores[:, None, None].expand(len(query), -1, query.shape[-2], 1)
    nothing = torch.zeros_like(key[..., :1, :])
    sink = F.pad(nothing, (0, 1), value=1.0)  # (B, K, 1, H + 1)
    table = mask.table(query.shape[-2], key.shape[-2], query.device)
    return (
        torch.cat((query, told.type_as(query)), dim=-1),
        torch.cat((sink, F.pad(key, (0, 1))), dim=-2),
        F.pad(torch.cat((nothing, value), dim=-2), (0, 1)),
        Mask(F.pad(table, (1, 0), value=True), False),
    )
