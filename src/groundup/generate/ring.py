"""The keys and values of a layer with a window, in a ring: what has left the window is overwritten.

The token of position p stands in column p modulo the ring's size, a window and `SLACK` columns
more: so many tokens at most are written before those before them are read, or taken back.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

SLACK = 64
"""Tokens that may be read in place at once, and as many that may be forgotten again."""


def held(last: Int[Tensor, "B 1"], size: int, n_columns: int) -> Int[Tensor, "B columns"]:
    """Return the position that each column holds, below 0 where none, once `last` is written."""
    return last - (last - torch.arange(n_columns, device=last.device)) % size


def older(first: Int[Tensor, "B 1"], window: int) -> Int[Tensor, "B before"]:
    """Return the positions before `first` that it sees, below 0 where the text begins later."""
    return first + torch.arange(1 - window, 0, device=first.device)


def seen_from(
    own: Int[Tensor, "*B T 1"], seen: Int[Tensor, "*B 1 S"], window: int | None
) -> Bool[Tensor, "*B T S"]:
    """Return whether the token at position `own` sees the one at `seen`; below 0 there is none."""
    allowed = (seen <= own) & (seen >= 0)
    return allowed if window is None else allowed & (seen > own - window)


def write_newest(
    ring: Float[Tensor, "rows K size H"],
    rows: Int[Tensor, " B"],
    new: Float[Tensor, "B K T H"],
    own: Int[Tensor, "B T"],
    ends: Int[Tensor, "B 1"],
) -> None:
    """Write of the tokens at `own` those that the ring has room for; padding from `ends` on not."""
    size = ring.shape[2]
    row, place = ((own < ends) & (own >= ends - size)).nonzero(as_tuple=True)
    ring[rows[row], :, own[row, place] % size] = new[row, :, place]


def with_older(
    ring: Float[Tensor, "rows K size H"],
    rows: Int[Tensor, " B"],
    new: Float[Tensor, "B K T H"],
    before: Int[Tensor, "B before"],
) -> Float[Tensor, "B K S H"]:
    """Return the tokens at the positions `before`, and the new ones after them."""
    return torch.cat([ring[rows[:, None], :, before % ring.shape[2]].transpose(1, 2), new], dim=2)
