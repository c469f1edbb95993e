"""Cross entropy between what the model expects next and what came, summed over targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
CUDA_CHUNK_VALUES = 1 << 29
"""The same on a GPU, 1 GiB in 16 bits: products with fewer rows leave multiprocessors idle."""
CUDA_MULTIPLE = 128
"""A GPU multiplies a vocabulary of such a size faster: rows of logits begin where tiles do."""

Slopes = Callable[[Tensor, Tensor, float, int], tuple[Tensor, Tensor]]


def plain_loss(
    hidden: Float[Tensor, "M D"],
    weight: Float[Tensor, "V D"],
    targets: Int[Tensor, " M"],
    softcap: float = 0.0,
) -> Float[Tensor, ""]:
    """Return the summed loss (nats), with all logits (M, V) in memory."""
    logits = soft_cap(softcap)(hidden @ weight.T)  # (M, V)
    return F.cross_entropy(logits.float(), targets, ignore_index=IGNORED, reduction="sum")


def slopes(
    logits: Tensor, targets: Tensor, softcap: float, vocab_size: int
) -> tuple[Tensor, Tensor]:
    """Return the summed loss of some rows of logits (R, V) and its gradient with respect to them.

    That is softmax(logits) - onehot(target), where the target counts. Columns from `vocab_size`
    on are padding. The gradient is in the logits' number format, and may stand in their memory.
    """
    number, counts = logits.dtype, targets != IGNORED
    scores, bend = _capped(logits.float(), softcap)
    scores[:, vocab_size:] = -torch.inf
    normaliser = scores.logsumexp(dim=-1)
    targets = targets.clamp(min=0)[:, None]
    loss = ((normaliser - scores.gather(1, targets)[:, 0]) * counts).sum()
    slope = scores.sub_(normaliser[:, None]).exp_()  # softmax, in the same memory
    slope.scatter_add_(1, targets, torch.full_like(normaliser, -1.0)[:, None])
    return loss, slope.mul_(counts[:, None] * bend).to(number)


def fused_loss(
    hidden: Float[Tensor, "M D"],
    weight: Float[Tensor, "V D"],
    targets: Int[Tensor, " M"],
    softcap: float = 0.0,
    slopes: Slopes = slopes,
) -> Float[Tensor, ""]:
    """Return the same as `plain_loss`, holding the logits of a few rows at a time.

    The gradient of cross entropy with respect to the logits, softmax(logits) - onehot(target), is
    known as soon as the logits are; so each chunk's share of both gradients is added up at once
    and its logits are dropped. The same matrix products, without the (M, V) memory.
    """
    apply = _FusedLoss.apply
    loss: Tensor = apply(hidden, weight, targets, softcap, slopes)  # type: ignore[no-untyped-call]
    return loss


class _FusedLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, softcap: float, slopes: Slopes
    ) -> Tensor:
        wants_hidden, wants_weight, *_ = ctx.needs_input_grad
        vocab_size = weight.shape[0]
        matrix = _padded(weight.to(_matmul_dtype(hidden)))
        total = torch.zeros((), device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_weight = torch.zeros_like(matrix, dtype=torch.float32) if wants_weight else None
        for chunk in _chunks(hidden.shape[0], matrix):
            inputs = hidden[chunk].to(matrix.dtype)
            loss, slope = slopes(inputs @ matrix.T, targets[chunk], softcap, vocab_size)
            total += loss
            if grad_hidden is not None:
                grad_hidden[chunk] = slope @ matrix
            if grad_weight is not None:
                _add_product(grad_weight, slope.T, inputs)
            del slope  # before the next chunk's is made
        if grad_weight is not None:
            grad_weight = grad_weight[:vocab_size]
        ctx.gradients = grad_hidden, grad_weight
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        grad_hidden, grad_weight = ctx.gradients
        del ctx.gradients  # scaled in place, so they serve once
        return (
            None if grad_hidden is None else grad_hidden.mul_(scale),
            None if grad_weight is None else grad_weight.mul_(scale),
            None,
            None,
            None,
        )


def _chunks(n_rows: int, matrix: Tensor) -> Iterator[slice]:
    """Yield slices of the rows, as few as the memory for logits allows and nearly equal."""
    most = CUDA_CHUNK_VALUES if matrix.device.type == "cuda" else CHUNK_VALUES
    n_chunks = -(-n_rows // max(1, most // matrix.shape[0]))
    rows = -(-n_rows // n_chunks)
    return (slice(start, start + rows) for start in range(0, n_rows, rows))


def _padded(weight: Tensor) -> Tensor:
    """Return the head with rows of zeros added where that makes a GPU's products faster."""
    missing = -weight.shape[0] % CUDA_MULTIPLE
    if weight.device.type != "cuda" or missing == 0:
        return weight
    return F.pad(weight, (0, 0, 0, missing))


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
