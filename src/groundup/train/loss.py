"""Cross entropy between what the model expects next and what came, summed over targets."""

from __future__ import annotations

from collections.abc import Iterator
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
"""Logits held at once by the fused loss, unless told otherwise: 64 MiB in fp32."""


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
    chunk_values: int = 0,
) -> Float[Tensor, ""]:
    """Return the same as `plain_loss`, holding at most `chunk_values` logits at a time.

    The gradient of cross entropy with respect to the logits, softmax(logits) - onehot(target), is
    known as soon as the logits are; so each chunk's share of both gradients is added up at once
    and its logits are dropped. The same matrix products, without the (M, V) memory.
    """
    loss: Tensor = _FusedLoss.apply(  # type: ignore[no-untyped-call]
        hidden, weight, targets, softcap, chunk_values or CHUNK_VALUES
    )
    return loss


class _FusedLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        softcap: float,
        chunk_values: int,
    ) -> Tensor:
        wants_hidden, wants_weight, *_ = ctx.needs_input_grad
        matrix = weight.to(_matmul_dtype(hidden))
        total = torch.zeros((), device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_weight: Tensor | None = None
        for chunk in _chunks(len(hidden), chunk_values // len(weight)):
            inputs, aims = hidden[chunk].to(matrix.dtype), targets[chunk, None].clamp(min=0)
            counts = (targets[chunk, None] != IGNORED).to(hidden.dtype)
            logits, bend = _capped((inputs @ matrix.T).float(), softcap)  # (rows, V)
            top, aimed = logits.amax(dim=-1, keepdim=True), logits.gather(1, aims)
            slope = torch.softmax(logits, dim=-1, out=logits)  # in the same memory
            normaliser = top - slope.amax(dim=-1, keepdim=True).log()
            total += ((normaliser - aimed) * counts).sum()
            if not (wants_hidden or wants_weight):
                continue
            slope.scatter_add_(1, aims, torch.full_like(aimed, -1.0))
            slope = (slope if bend is None else slope.mul_(bend)).to(matrix.dtype)
            if grad_hidden is not None:
                grad_hidden[chunk] = (slope @ matrix) * counts
            if wants_weight:
                grad_weight = _add_product(grad_weight, slope.T, inputs * counts, weight.dtype)
            del logits, bend, slope  # before the next chunk's are made
        ctx.gradients = grad_hidden, grad_weight
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        gradients = ctx.gradients
        del ctx.gradients  # scaled in place, so they serve once
        grad_hidden, grad_weight = (_times(gradient, scale) for gradient in gradients)
        return grad_hidden, grad_weight, None, None, None


def _chunks(n_rows: int, most: int) -> Iterator[slice]:
    """Yield equal shares of at most `most` rows: a short one would be slow."""
    n_chunks = -(-n_rows // max(1, most))
    for i in range(n_chunks):
        yield slice(i * n_rows // n_chunks, (i + 1) * n_rows // n_chunks)


def _capped(logits: Tensor, softcap: float) -> tuple[Tensor, Tensor | None]:
    """Return the bounded logits and the slope of the bound, None where there is no bound."""
    if not softcap:
        return logits, None
    shares = logits.div_(softcap).tanh_()
    return shares * softcap, 1 - shares.square()


def _matmul_dtype(hidden: Tensor) -> torch.dtype:
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return hidden.dtype


def _add_product(total: Tensor | None, left: Tensor, right: Tensor, dtype: torch.dtype) -> Tensor:
    """Return `total` with a product added, in place where the numbers are of one format."""
    if total is None:
        return (left @ right).to(dtype)
    return total.addmm_(left, right) if dtype == left.dtype else total.add_(left @ right)


def _times(gradient: Tensor | None, scale: Tensor) -> Tensor | None:
    """Return the gradient scaled in place; a CPU sees at no cost that a scale is 1."""
    if gradient is None or (scale.device.type == "cpu" and scale == 1):
        return gradient
    return gradient.mul_(scale)
