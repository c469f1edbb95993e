"""The loss of a step without its logits: the same as `plain_loss` in `step`, in far less memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from groundup.data.batch import IGNORED
from groundup.device.products import chosen_products

CHUNK_VALUES = 1 << 24
"""Logits held at once by the fused loss, unless told otherwise: 64 MiB in fp32."""
CUDA_MULTIPLE = 128
"""A GPU multiplies a vocabulary of such a size faster: rows of logits begin where tiles do."""
FILLED = 128
"""Rows that `filled_up` returns a multiple of."""

LossesAndGradients = Callable[[Tensor, Tensor, float, int], tuple[Tensor, Tensor]]


def losses_and_gradients(
    logits: Tensor, targets: Tensor, softcap: float, vocab_size: int
) -> tuple[Tensor, Tensor]:
    """Return the loss of each row of logits (R, V), and its gradient with respect to them.

    That is softmax(logits) - onehot(target). Columns from `vocab_size` on are padding. The
    gradient is in the logits' number format, and may stand in their memory.
    """
    number, targets = logits.dtype, targets[:, None]
    scores, derivative = _capped(logits.float(), softcap)
    del logits  # where they were narrow, these are others
    scores[:, vocab_size:] = -torch.inf
    top, of_target = scores.amax(dim=-1, keepdim=True), scores.gather(1, targets)
    gradient = torch.softmax(scores, dim=-1, out=scores)  # in the same memory
    normaliser = top - gradient.amax(dim=-1, keepdim=True).log()
    gradient.scatter_add_(1, targets, torch.full_like(of_target, -1.0))
    gradient = gradient if derivative is None else gradient.mul_(derivative)
    return (normaliser - of_target)[:, 0], gradient.to(number)


def fused_loss(
    hidden: Float[Tensor, "M D"],
    weight: Float[Tensor, "V D"],
    targets: Int[Tensor, " M"],
    softcap: float = 0.0,
    chunk_values: int = 0,
    row_losses: LossesAndGradients = losses_and_gradients,
) -> Float[Tensor, ""]:
    """Return the same as `plain_loss`, holding at most `chunk_values` logits at a time.

    The gradient of cross entropy with respect to the logits, softmax(logits) - onehot(target), is
    known as soon as the logits are; so each chunk's part of both gradients is added up at once
    and its logits are dropped. The same matrix products, without the (M, V) memory.
    """
    loss: Tensor = _FusedLoss.apply(  # type: ignore[no-untyped-call]
        hidden, weight, targets, softcap, chunk_values or CHUNK_VALUES, row_losses
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
        row_losses: LossesAndGradients,
    ) -> Tensor:
        wants_hidden, wants_weight, *_ = ctx.needs_input_grad
        vocab_size = len(weight)
        matrix = _padded(weight.to(_matmul_dtype(hidden)))
        total = torch.zeros((), device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_weight: Tensor | None = None
        for chunk in _chunks(len(hidden), chunk_values // len(matrix), hidden.device):
            inputs, counts = hidden[chunk].to(matrix.dtype), targets[chunk] != IGNORED
            labels = targets[chunk].clamp(min=0)
            with chosen_products():
                logits = inputs @ matrix.T
            losses, gradient = row_losses(logits, labels, softcap, vocab_size)
            del logits
            total += (losses * counts).sum()
            counted = counts[:, None].to(matrix.dtype)
            with chosen_products():
                if grad_hidden is not None:
                    grad_hidden[chunk] = (gradient @ matrix) * counted
                if wants_weight:
                    grad_weight = _add_product(grad_weight, gradient.T, inputs * counted)
            del losses, gradient  # before the next chunk's are made
        if grad_weight is not None:
            grad_weight = grad_weight[:vocab_size]
        ctx.gradients = grad_hidden, grad_weight
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.gradients
        del ctx.gradients  # scaled in place, so they serve once
        grad_hidden, grad_weight = (_times(gradient, scale) for gradient in gradients)
        return grad_hidden, grad_weight, None, None, None, None


def filled_up(
    hidden: Float[Tensor, "M D"], targets: Int[Tensor, " M"], target: int
) -> tuple[Float[Tensor, "N D"], Int[Tensor, " N"]]:
    """Return the rows and zeros behind them, with `target`, up to a multiple of `FILLED`.

    For a step of which ever other numbers of rows meet the head: logits of ever other sizes would
    leave ever more holes in the heap of the C library, gigabytes after some hundred steps.
    """
    n_missing = -len(hidden) % FILLED
    return F.pad(hidden, (0, 0, 0, n_missing)), F.pad(targets, (0, n_missing), value=target)


def token_losses(
    hidden: Float[Tensor, "M D"],
    weight: Float[Tensor, "V D"],
    targets: Int[Tensor, " M"],
    softcap: float = 0.0,
    chunk_values: int = 0,
) -> Float[Tensor, " M"]:
    """Return the cross entropy (nats) of each target, holding at most `chunk_values` logits.

    As the gradients depend on what becomes of each loss, the logits are computed once more for
    them. Every target counts. In fp32, or in fp64 where `hidden` is.
    """
    rows, of_rows = filled_up(hidden, targets, 0)
    losses: Tensor = _TokenLosses.apply(  # type: ignore[no-untyped-call]
        rows, weight, of_rows, softcap, chunk_values or CHUNK_VALUES
    )
    return losses[: len(hidden)]


class _TokenLosses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, softcap: float, chunk_values: int
    ) -> Tensor:
        ctx.save_for_backward(hidden, weight, targets)
        ctx.softcap, ctx.chunk_values, ctx.number = softcap, chunk_values, _matmul_dtype(hidden)
        losses = torch.empty(len(hidden), dtype=_wide(hidden.dtype), device=hidden.device)
        matrix = _padded(weight.to(ctx.number))
        for chunk, scores, _ in _scores(hidden, matrix, len(weight), softcap, chunk_values):
            of_target = scores.gather(1, targets[chunk, None])[:, 0]
            losses[chunk] = scores.logsumexp(dim=-1) - of_target
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, targets = ctx.saved_tensors
        wants_hidden, wants_weight, *_ = ctx.needs_input_grad
        matrix = _padded(weight.to(ctx.number))
        grad_hidden = torch.zeros_like(hidden) if wants_hidden else None
        grad_weight: Tensor | None = None
        how = ctx.softcap, ctx.chunk_values
        for chunk, scores, derivative in _scores(hidden, matrix, len(weight), *how):
            gradient = torch.softmax(scores, dim=-1, out=scores)  # in the same memory
            minus = torch.full_like(gradient[:, :1], -1.0)
            gradient.scatter_add_(1, targets[chunk, None], minus).mul_(scale[chunk, None])
            gradient = gradient if derivative is None else gradient.mul_(derivative)
            gradient = gradient.to(ctx.number)
            with chosen_products():
                if grad_hidden is not None:
                    grad_hidden[chunk] = gradient @ matrix
                if wants_weight:
                    inputs = hidden[chunk].to(ctx.number)
                    grad_weight = _add_product(grad_weight, gradient.T, inputs)
        if wants_weight:
            grad_weight = weight.new_zeros(weight.shape) if grad_weight is None else grad_weight
            grad_weight = grad_weight[: len(weight)]
        return grad_hidden, grad_weight, None, None, None


def _scores(
    hidden: Tensor, matrix: Tensor, vocab_size: int, softcap: float, chunk_values: int
) -> Iterator[tuple[slice, Tensor, Tensor | None]]:
    """Yield which rows, their capped logits, and the cap's derivative, None where there is none."""
    for chunk in _chunks(len(hidden), chunk_values // len(matrix), hidden.device):
        with chosen_products():
            logits = hidden[chunk].to(matrix.dtype) @ matrix.T
        scores, derivative = _capped(logits.to(_wide(logits.dtype)), softcap)
        del logits  # where they were narrow, the scores are others
        scores[:, vocab_size:] = -torch.inf
        yield chunk, scores, derivative


def _wide(number: torch.dtype) -> torch.dtype:
    """Return the number format of losses: fp32 at least."""
    return torch.promote_types(number, torch.float32)


def _chunks(n_rows: int, most: int, device: torch.device) -> Iterator[slice]:
    """Yield equal chunks of at most `most` rows: a short one would be slow."""
    multiple = CUDA_MULTIPLE if device.type == "cuda" else 1
    n_chunks = -(-n_rows // max(1, most))
    ends = [i * n_rows // n_chunks // multiple * multiple for i in range(n_chunks)] + [n_rows]
    return (slice(start, end) for start, end in pairwise(ends) if start < end)


def _padded(weight: Tensor) -> Tensor:
    """Return the head with rows of zeros added where that makes a GPU's products faster."""
    missing = -len(weight) % CUDA_MULTIPLE
    if weight.device.type != "cuda" or missing == 0:
        return weight
    return F.pad(weight, (0, 0, 0, missing))


def _capped(logits: Tensor, softcap: float) -> tuple[Tensor, Tensor | None]:
    """Return the capped logits and the cap's derivative, None where there is no cap."""
    if not softcap:
        return logits, None
    tanh = logits.div_(softcap).tanh_()
    return tanh * softcap, 1 - tanh.square()


def _matmul_dtype(hidden: Tensor) -> torch.dtype:
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return hidden.dtype


def _add_product(total: Tensor | None, left: Tensor, right: Tensor) -> Tensor:
    """Return `total` with a product added: summed in fp32, however narrow the factors."""
    if left.dtype.itemsize >= 4:
        return left @ right if total is None else total.addmm_(left, right)
    if left.device.type == "cuda":  # its products can end in fp32: no narrow one to be added
        wide = torch.float32
        if total is None:
            return torch.mm(left, right, out_dtype=wide)
        return torch.addmm(total, left, right, out_dtype=wide)
    return (left @ right).float() if total is None else total.add_(left @ right)


def _times(gradient: Tensor | None, scale: Tensor) -> Tensor | None:
    """Return the gradient scaled in place; a CPU sees at no cost that a scale is 1."""
    if gradient is None or (scale.device.type == "cpu" and scale == 1):
        return gradient
    return gradient.mul_(scale)
