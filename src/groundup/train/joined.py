"""Query, key and value as one product: on a GPU three small ones leave multiprocessors idle.

The three linear layers keep their parameters and names; only how they are computed is swapped,
from outside. Their matrices are joined anew in each pass, which copies little beside the product,
and autograd hands each its slice of the gradient.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from groundup.model import GPT


def join_projections(model: GPT) -> None:
    """Let each block's query compute all three, and its key and value take what it left them."""
    for block in model.blocks:
        attention: Any = block.attn
        waiting: list[Tensor] = []
        query, key, value = attention.query, attention.key, attention.value
        if any(type(layer) is not nn.Linear for layer in (query, key, value)):
            continue  # somebody else's swap, such as an adapter
        attention.query = _First(query, key, value, waiting)
        attention.key = _Later(key, waiting)
        attention.value = _Later(value, waiting)


class _First(nn.Module):
    """The first of three linear layers with one input; the others' results wait, last in front."""

    def __init__(
        self, first: nn.Linear, second: nn.Linear, third: nn.Linear, waiting: list[Tensor]
    ) -> None:
        super().__init__()
        self.weight, self.bias = first.weight, first.bias
        self._others = (second, third)  # a tuple: they stay modules of their own place
        self._waiting = waiting

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B F"]:
        """Return what the first of the three layers gives."""
        layers = (self, *self._others)
        bias = None if self.bias is None else torch.cat([layer.bias for layer in layers])
        joined = F.linear(x, torch.cat([layer.weight for layer in layers]), bias)
        widths = [len(layer.weight) for layer in layers]
        first, second, third = torch.split(joined, widths, dim=-1)
        self._waiting += [third, second]
        return first  # (*B, F)


class _Later(nn.Module):
    """A linear layer that was computed already."""

    def __init__(self, linear: nn.Linear, waiting: list[Tensor]) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self._waiting = waiting

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B F"]:
        """Return what waits for this layer."""
        return self._waiting.pop()
