"""Muon (Jordan, 2024): momentum whose matrices are made orthogonal, for a network's inner matrices.

Of an update G = U S V^T only the directions count: it becomes close to U V^T, so that no direction
of a matrix learns faster than another only because its gradient is larger. That takes matrix
products alone, and those of equal shapes are done at once.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.device.products import chosen_products
from groundup.processes.alone import ALONE, Alone

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""The quintic x (a + b x^2 + c x^4), steep at 0, that Jordan chose: five of it bring any singular
value from 0.001 to 1 between about 0.7 and 1.2."""
NEWTON_SCHULZ_STEPS = 5
LEAST_NORM = 1e-7
VALUES_AT_ONCE = 1 << 24
"""Values that are made orthogonal together, at most: 64 MiB in fp32."""


def muon(
    parameters: list[Tensor],
    gradients: list[Tensor],
    averages: list[Tensor],
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    grad_scale: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
    world: Alone = ALONE,
    like: list[Tensor] | None = None,
) -> None:
    """Move parameters by Nesterov momentum made orthogonal, with decoupled weight decay.

    The conventions of `torch.optim.Muon`, which takes matrix after matrix and bf16 only: a matrix
    of A outputs and B inputs moves by lr x sqrt(max(1, A / B)) in every direction. A parameter of
    more than two dimensions is a stack of matrices. Gradients are divided by `grad_scale` first,
    in place. `dtype` is that of the matrix products. Where the processes of `world` have a part of
    each matrix, these are the parts, of `like`; each process makes the whole orthogonal.
    """
    if grad_scale is not None:
        torch._foreach_div_(gradients, grad_scale)
    torch._foreach_lerp_(averages, gradients, 1 - momentum)
    torch._foreach_mul_(parameters, 1 - lr * weight_decay)
    like = parameters if like is None else like
    for lot in _lots(like):
        some = [torch.lerp(gradients[i], averages[i], momentum) for i in lot]  # Nesterov's
        some = [world.whole(update, like[i]) for update, i in zip(some, lot, strict=True)]
        wide = torch.cat([_wide(update) for update in some]).to(dtype)
        counts = [math.prod(update.shape[:-2]) for update in some]
        del some
        for i, moves in zip(lot, torch.split(orthogonalise_(wide), counts), strict=True):
            rows, columns = like[i].shape[-2:]
            move = (moves.mT if rows > columns else moves).reshape(like[i].shape)
            move = world.part_of(move, like[i])
            parameters[i].add_(move, alpha=-lr * math.sqrt(max(1.0, rows / columns)))


def orthogonalise_(x: Float[Tensor, "M A B"]) -> Float[Tensor, "M A B"]:
    """Return matrices with the singular vectors of `x` whose singular values are all about 1.

    Five steps of a Newton-Schulz iteration: X <- a X + (b X X^T + c (X X^T)^2) X. A <= B spares
    work. The memory of `x` is used up.
    """
    a, b, c = NEWTON_SCHULZ
    x /= torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True).clamp(min=LEAST_NORM)
    with chosen_products():
        for _ in range(NEWTON_SCHULZ_STEPS):
            gram = x @ x.mT  # (M, A, A)
            x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _lots(parameters: list[Tensor]) -> Iterator[list[int]]:
    """Yield which matrices are worked on together: of one shape or its transpose, not too many."""
    alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, parameter in enumerate(parameters):
        alike[tuple(sorted(parameter.shape[-2:]))].append(i)
    for indices in alike.values():
        n = max(1, VALUES_AT_ONCE // max(parameters[i].numel() for i in indices))
        yield from (indices[first : first + n] for first in range(0, len(indices), n))


def _wide(matrices: Tensor) -> Float[Tensor, "M A B"]:
    """Return a parameter's matrices as a stack, those with more rows than columns transposed."""
    stack = matrices.reshape(-1, *matrices.shape[-2:])
    return stack.mT if stack.shape[-2] > stack.shape[-1] else stack
