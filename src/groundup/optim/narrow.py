"""A copy of the model in 16 bits that computes for it, where the hardware multiplies those fastest.

Autocast narrows every weight in every forward pass, widens every gradient in every backward pass,
and keeps what flows between the blocks in fp32. A copy is narrowed once an optimizer step, and
everything that flows is narrow; sums inside norms, attention, products and the loss stay in fp32.
The weights that the optimizer moves and the sum of gradients stay in fp32 too, so that no small
step is lost (Micikevicius et al., 2017, section 3.1).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Add = Callable[[Tensor, Tensor], object]
M = TypeVar("M", bound=nn.Module)


class NarrowCopy(Generic[M]):
    """A model's stand-in for forward and backward passes.

    `refresh` before a step's first pass, `add_gradients` after each backward pass. It takes 2 bytes
    a parameter, and 2 more for its gradients while a backward pass runs.
    """

    def __init__(self, model: M, dtype: torch.dtype) -> None:
        self.model: M = copy.deepcopy(model).to(dtype).train()
        self.add: Add = add
        self._wide: list[Tensor] = list(model.parameters())
        self._narrow: list[Tensor] = list(self.model.parameters())
        self._taken_over = False

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the model's weights; those that do not learn, once."""
        pairs = list(zip(self._narrow, self._wide, strict=True))
        if self._taken_over:
            pairs = [(narrow, wide) for narrow, wide in pairs if wide.requires_grad]
        self._taken_over = True
        torch._foreach_copy_([narrow for narrow, _ in pairs], [wide for _, wide in pairs])

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Add the gradients that have come to the model's, and drop them."""
        first: tuple[list[Tensor], list[Tensor]] = [], []
        for wide, narrow in zip(self._wide, self._narrow, strict=True):
            if narrow.grad is None:
                continue
            if wide.grad is None:
                wide.grad = torch.empty_like(wide)
                first[0].append(wide.grad)
                first[1].append(narrow.grad)
            else:
                self.add(wide.grad.view(-1), narrow.grad.reshape(-1))
            narrow.grad = None
        if first[0]:
            torch._foreach_copy_(*first)  # in few launches, and at the rate of memory


def add(total: Tensor, part: Tensor) -> None:
    """Add a gradient to the sum of those before it."""
    total.add_(part)
