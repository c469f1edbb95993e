"""A matrix that is embedding and head at once gets one gradient instead of two.

Autograd would make a second one, as large as the first and all zeros but for the rows of the
batch's tokens, and add it: memory and traffic of V x D numbers for a few rows. The head's gradient
comes first in the backward pass and the embedding's last, so those rows go straight into it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.hooks import RemovableHandle

from groundup.model import GPT


class TiedGradient:
    """Joins the two gradients of a tied model, from outside; an untied one is left alone.

    The gradient that autograd sees is the whole one: hooks on the parameter see it as before.
    On a GPU nothing is joined: threads would add a frequent token's rows in no fixed order, and
    in 16 bits if the copy is narrow, where autograd sorts them first and sums in fp32.
    """

    def __init__(self, model: GPT) -> None:
        self.embedding, self.head = model.token_embedding, model.lm_head
        self.tied = model.config.tie_embeddings
        self._hook: RemovableHandle | None = None
        """On the embedding, while a forward pass is under way whose gradients are to be joined."""
        self._gradients: list[Tensor] = []

    def attach(self, step: nn.Module) -> None:
        """Join the gradients in each forward pass of `step`, which must use `head_weight` once."""

        def begin(step: nn.Module, given: object) -> None:
            if self.applies():
                self._hook = self.embedding.register_forward_hook(self._embed)

        def end(step: nn.Module, given: object, result: object) -> None:
            if self._hook is not None:
                self._hook.remove()
                self._hook = None

        step.register_forward_pre_hook(begin)
        step.register_forward_hook(end, always_call=True)

    def head_weight(self) -> Float[Tensor, "V D"]:
        """Return the head's matrix."""
        weight: Tensor = self.head.weight
        if self._hook is not None:
            weight = _Tap.apply(weight, self._gradients)  # type: ignore[no-untyped-call]
        return weight

    def applies(self) -> bool:
        """Return whether there are two gradients to join."""
        weight = self.head.weight
        alone = weight.device.type == "cpu" and weight.requires_grad
        return self.tied and alone and torch.is_grad_enabled()

    def _embed(self, module: nn.Module, given: tuple[Tensor], rows: Tensor) -> Tensor:
        joined: Tensor = _Rows.apply(self.head.weight, *given, self._gradients)  # type: ignore[no-untyped-call]
        return joined


class _Tap(torch.autograd.Function):
    """The same matrix, whose gradient is remembered as it passes."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, gradients: list[Tensor]) -> Tensor:
        ctx.gradients = gradients
        return weight.view_as(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, "V D"]) -> tuple[Tensor, None]:
        ctx.gradients.append(gradient)
        return gradient, None


class _Rows(torch.autograd.Function):
    """The rows of the tokens, whose gradient is added to the remembered one."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, tokens: Int[Tensor, "B T"], gradients: list[Tensor]
    ) -> Float[Tensor, "B T D"]:
        ctx.save_for_backward(tokens)
        ctx.gradients = gradients
        return F.embedding(tokens, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, "B T D"]) -> tuple[None, None, None]:
        (tokens,) = ctx.saved_tensors
        ctx.gradients.pop().index_add_(0, tokens.flatten(), gradient.flatten(0, 1))
        return None, None, None
