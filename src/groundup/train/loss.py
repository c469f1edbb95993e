"""Cross entropy between what the model expects next and what came, summed over targets."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from groundup.model import soft_cap

IGNORED = -100
"""A target that counts for nothing (padding, or a prompt that is not to be learnt)."""

CHUNK_VALUES = 1 << 24
"""Logits held at once by the fused loss: 64 MiB in fp32."""


def plain_loss(
    hidden: Float[Tensor, "M D"],
    weight: Float[Tensor, "V D"],
    targets: Int[Tensor, " M"],
    softcap: float = 0.0,
) -> Float[Tensor, ""]:
    """Return the summed loss (nats), with all logits (M, V) in memory."""
    logits = soft_cap(softcap)(hidden @ weight.T)  # (M, V)
    return F.cross_entropy(logits.float(), targets, ignore_index=IGNORED, reduction="sum")


def fused_loss(
    hidden: Float[Tensor, "M D"],
    weight: Float[Tensor, "V D"],
    targets: Int[Tensor, " M"],
    softcap: float = 0.0,
) -> Float[Tensor, ""]:
    """Return the same as `plain_loss`, holding the logits of a few rows at a time.

    The gradient of cross entropy with respect to the logits, softmax(logits) - onehot(target), is
    known as soon as the logits are; so each chunk's share of both gradients is added up at once
    and its logits are dropped. The same matrix products, without the (M, V) memory.
    """
    loss: Tensor = _FusedLoss.apply(hidden, weight, targets, softcap)  # type: ignore[no-untyped-call]
    return loss


class _FusedLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, softcap: float
    ) -> Tensor:
        wants_hidden, wants_weight, *_ = ctx.needs_input_grad
        rows = max(1, CHUNK_VALUES // weight.shape[0])
        matrix = weight.to(_matmul_dtype(hidden))
        total = torch.zeros((), device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_weight = torch.zeros_like(weight) if wants_weight else None
        for start in range(0, hidden.shape[0], rows):
            chunk = slice(start, start + rows)
            inputs, aims = hidden[chunk].to(matrix.dtype), targets[chunk]
            counts = aims != IGNORED
            logits, bend = _capped((inputs @ matrix.T).float(), softcap)  # (rows, V)
            normaliser = logits.logsumexp(dim=-1)
            aims = aims.clamp(min=0)[:, None]
            total += ((normaliser - logits.gather(1, aims)[:, 0]) * counts).sum()
            if grad_hidden is None and grad_weight is None:
                continue
            slope = logits.sub_(normaliser[:, None]).exp_()  # softmax, in the same memory
            slope.scatter_add_(1, aims, torch.full_like(normaliser, -1.0)[:, None])
            slope = slope.mul_(counts[:, None] * bend).to(matrix.dtype)
            if grad_hidden is not None:
                grad_hidden[chunk] = slope @ matrix
            if grad_weight is not None:
                _add_product(grad_weight, slope.T, inputs)
            del logits, bend, slope  # before the next chunk's are made
        ctx.gradients = grad_hidden, grad_weight
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        grad_hidden, grad_weight = ctx.gradients
        del ctx.gradients  # scaled in place, so they serve once
        return (
            None if grad_hidden is None else grad_hidden.mul_(scale),
            None if grad_weight is None else grad_weight.mul_(scale),
            None,
            None,
        )


def _capped(logits: Tensor, softcap: float) -> tuple[Tensor, Tensor]:
    """Return the bounded logits and the slope of the bound, which is 1 where there is none."""
    if not softcap:
        return logits, torch.ones((), device=logits.device)
    shares = logits.div_(softcap).tanh_()
    return shares * softcap, 1 - shares.square()


def _matmul_dtype(hidden: Tensor) -> torch.dtype:
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return hidden.dtype


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right
