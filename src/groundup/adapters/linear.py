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

from groundup.device.products import chosen_products


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
        return self.product(x, self.bias)

    def product(self, x: Float[Tensor, "*B I"], bias: Tensor | None) -> Float[Tensor, "*B O"]:
        """Return x (W + s B A)^T + bias, the second part by way of r numbers.

        It is added where the first part stands. Two outputs that are summed would leave holes of
        their size on the heap, which what is kept of the r numbers makes too small for the next.
        """
        rows = x.reshape(-1, self.in_features)
        thin = F.linear(rows, self.lora_a) * self.scale
        out = F.linear(rows, self.weight, bias)
        with chosen_products():
            out.addmm_(thin.to(out.dtype), self.lora_b.T.to(out.dtype))
        return out.view(*x.shape[:-1], self.out_features)

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
        product = self.product(x, None)
        # By numbers of fp32, which are all near 1, to as many bits as the product has.
        product = (product * (self.magnitude / norms)).to(product.dtype)
        return product if self.bias is None else product + self.bias.to(product.dtype)

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
