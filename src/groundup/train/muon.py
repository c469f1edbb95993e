"""Muon (Jordan, 2024): momentum whose matrices are made orthogonal, for a network's inner matrices.

Of an update G = U S V^T only the directions count: it becomes close to U V^T, so that no direction
of a matrix learns faster than another only because its gradient is larger. That takes matrix
products alone, and those of equal shapes are done at once.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""The quintic x (a + b x^2 + c x^4), steep at 0, that Jordan chose: five of it bring any singular
value from 0.001 to 1 between about 0.7 and 1.2."""
NEWTON_SCHULZ_STEPS = 5
LEAST_NORM = 1e-7
VALUES_AT_ONCE = 1 << 24
"""Values that are made orthogonal together, at most: 64 MiB in fp32."""


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, made orthogonal, with decoupled weight decay.

    The same conventions as `torch.optim.Muon`, which takes matrix after matrix and bf16 only: a
    matrix of A outputs and B inputs moves by lr x sqrt(max(1, A / B)) in every direction. A
    parameter of more than two dimensions is a stack of matrices. Gradients are divided by the
    tensor `grad_scale` where one is set, as torch's fused AdamW does. `dtype` is that of the
    products.
    """

    grad_scale: Tensor | None = None

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        *,
        weight_decay: float,
        momentum: float,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(params, {"lr": 0.0, "weight_decay": weight_decay, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        assert closure is None, "the loss is computed before"
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    rows, columns = parameter.shape[-2:]
                    alike[min(rows, columns), max(rows, columns)].append(parameter)
            for parameters in alike.values():
                for some in _few(parameters):
                    self._move(some, group)

    def _move(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        """Move parameters whose matrices have one shape, or its transpose."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.grad_scale is not None:
            torch._foreach_div_(gradients, self.grad_scale)
        averages = [self._average(p) for p in parameters]
        momentum, rate = group["momentum"], group["lr"]
        torch._foreach_lerp_(averages, gradients, 1 - momentum)
        updates = torch._foreach_lerp(gradients, averages, momentum)  # Nesterov's
        wide = torch.cat([_wide(update) for update in updates]).to(self.dtype)
        del updates
        moves = torch.split(orthogonalise_(wide), [math.prod(p.shape[:-2]) for p in parameters])
        torch._foreach_mul_([*parameters], 1 - rate * group["weight_decay"])
        for parameter, move in zip(parameters, moves, strict=True):
            rows, columns = parameter.shape[-2:]
            move = move.mT if rows > columns else move
            scale = math.sqrt(max(1.0, rows / columns))
            parameter.add_(move.reshape(parameter.shape), alpha=-rate * scale)

    def _average(self, parameter: nn.Parameter) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        average: Tensor = state["momentum"]
        return average


def orthogonalise_(x: Float[Tensor, "M A B"]) -> Float[Tensor, "M A B"]:
    """Return matrices with the singular vectors of `x` whose singular values are all about 1.

    Five steps of a Newton-Schulz iteration: X <- a X + (b X X^T + c (X X^T)^2) X. A <= B spares
    work. The memory of `x` is used up.
    """
    a, b, c = NEWTON_SCHULZ
    x /= torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True).clamp(min=LEAST_NORM)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT  # (M, A, A)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def _few(parameters: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Return the parameters in lots that are not too large to be worked on at once."""
    n = max(1, VALUES_AT_ONCE // max(p.numel() for p in parameters))
    return [parameters[first : first + n] for first in range(0, len(parameters), n)]


def _wide(matrices: Tensor) -> Float[Tensor, "M A B"]:
    """Return a parameter's matrices as a stack, those with more rows than columns transposed."""
    stack = matrices.reshape(-1, *matrices.shape[-2:])
    return stack.mT if stack.shape[-2] > stack.shape[-1] else stack
