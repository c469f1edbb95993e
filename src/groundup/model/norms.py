"""Layer normalisation (Ba, Kiros and Hinton, 2016)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class LayerNorm(nn.Module):
    """Bring each token's vector to mean 0 and variance 1, then scale and shift it as learned.

    y = weight * (x - mean) / sqrt(variance + eps) + bias, over the last dimension, the variance
    taken without Bessel's correction. `F.layer_norm` computes just that in one pass.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.eps = eps

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Return the normalised vectors."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)
