"""A copy of the model in 16 bits that computes for it, where the hardware multiplies those fastest.

Autocast narrows every weight in every forward pass, widens every gradient in every backward pass,
and keeps what flows between the blocks in fp32. A copy is narrowed once an optimizer step, and
everything that flows is narrow; sums inside norms, attention, products and the loss stay in fp32.
The weights that the optimizer moves and the sum of gradients stay in fp32 too, so that no small
step is lost (Micikevicius et al., 2017, section 3.1).
"""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import Tensor

from groundup.model import GPT


class NarrowCopy:
    """A model's stand-in for forward and backward passes; `refresh` after each optimizer step.

    Its gradients are added to those of the model as they come, and are not kept. It takes
    2 bytes a parameter.
    """

    def __init__(self, model: GPT, dtype: torch.dtype) -> None:
        self.model: GPT = copy.deepcopy(model).to(dtype).train()
        self._wide: list[Tensor] = list(model.parameters())
        self._narrow: list[Tensor] = list(self.model.parameters())
        for wide, narrow in zip(self._wide, self._narrow, strict=True):
            if narrow.requires_grad:
                hook = partial(_hand_over, wide)
                narrow.register_post_accumulate_grad_hook(hook)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the model's weights."""
        torch._foreach_copy_(self._narrow, self._wide)


def _hand_over(wide: Tensor, narrow: Tensor) -> None:
    assert narrow.grad is not None, "called when it has come"
    if wide.grad is None:
        wide.grad = narrow.grad.to(wide.dtype)
    else:
        wide.grad += narrow.grad
    narrow.grad = None
