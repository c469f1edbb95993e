"""Linear layers whose matrix W stays as it is, and beside which thin matrices A and B learn.

    LoRA  y = x (W + s B A)^T                        Hu et al., 2021, section 4.1
    DoRA  y = x (m (W + s B A) / |W + s B A|)^T      Liu et al., 2024, equation 5

W is (O, I), A (r, I), B (O, r); s is alpha / r. |.| is the norm of each row, and m has a number for
each. A bias is added as ever. At first B is 0 and m is |W|: the layer computes what it did before.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class LoRALinear(nn.Linear):
    """A linear layer with the thin matrices of LoRA; its weight and bias keep their names.

    A starts uniform between -1 / sqrt(I) and 1 / sqrt(I), from `generator`, on any device with the
    same numbers; B starts at 0. Only the two require a gradient.
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, generator: torch.Generator):
        nn.Module.__init__(self)  # nn.Linear's would make another weight
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.scale = alpha / rank
        bound = 1 / math.sqrt(self.in_features)
        start = torch.empty(rank, self.in_features).uniform_(-bound, bound, generator=generator)
        self.lora_a = nn.Parameter(start.to(linear.weight))
        self.lora_b = nn.Parameter(linear.weight.new_zeros(self.out_features, rank))

    def forward(self, x: Float[Tensor, "*B I"]) -> Float[Tensor, "*B O"]:
        """Return the product with W, and what the thin matrices add."""
        return super().forward(x) + self.added(x)

    def added(self, x: Float[Tensor, "*B I"]) -> Float[Tensor, "*B O"]:
        """Return x (s B A)^T, by way of r numbers."""
        return F.linear(F.linear(x, self.lora_a) * self.scale, self.lora_b)

    def merged_weight(self) -> Float[Tensor, "O I"]:
        """Return the one matrix that computes the same."""
        return lora_weight(self.weight, self.lora_a, self.lora_b, self.scale)

    def merged(self) -> nn.Linear:
        """Return a plain layer that computes the same."""
        linear = nn.Linear(
            self.in_features, self.out_features, self.bias is not None, device="meta"
        )
        linear.weight = nn.Parameter(self.merged_weight().detach())
        linear.bias = self.bias
        return linear

    def extra_repr(self) -> str:
        """Show the sizes and the rank."""
        return f"{super().extra_repr()}, rank={len(self.lora_a)}, scale={self.scale:g}"


class DoRALinear(LoRALinear):
    """A linear layer with the thin matrices of DoRA, and a magnitude for each row, which learns.

    The norm by which rows are divided counts as a number: no gradient flows through it (section
    4.3), which saves memory and changes little.
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, generator: torch.Generator):
        super().__init__(linear, rank, alpha, generator)
        self.magnitude = nn.Parameter(row_norms(self.weight.detach()))

    def forward(self, x: Float[Tensor, "*B I"]) -> Float[Tensor, "*B O"]:
        """Return the product with rows of the learnt magnitudes."""
        with torch.no_grad():
            norms = row_norms(super().merged_weight())
        product = F.linear(x, self.weight) + self.added(x)
        product = product * (self.magnitude / norms)
        return product if self.bias is None else product + self.bias

    def merged_weight(self) -> Float[Tensor, "O I"]:
        """Return the one matrix that computes the same."""
        return dora_weight(self.weight, self.lora_a, self.lora_b, self.scale, self.magnitude)


def lora_weight(weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Float[Tensor, "O I"]:
    """Return W + s B A."""
    return torch.addmm(weight, b, a, alpha=scale)


def dora_weight(
    weight: Tensor, a: Tensor, b: Tensor, scale: float, magnitude: Tensor
) -> Float[Tensor, "O I"]:
    """Return m (W + s B A) / |W + s B A|."""
    directed = lora_weight(weight, a, b, scale)
    return directed * (magnitude / row_norms(directed))[:, None]


def row_norms(weight: Float[Tensor, "O I"]) -> Float[Tensor, " O"]:
    """Return the norm of each row, summed in fp32 at least, however narrow the numbers are."""
    wide = torch.promote_types(weight.dtype, torch.float32)
    norms: Tensor = torch.linalg.vector_norm(weight, dim=1, dtype=wide)
    return norms.to(weight.dtype)
