"""Normalisation: bring each token's vector to one size, however many layers have added to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from groundup.config import GPTConfig
from groundup.model.parts import make_part


class LayerNorm(nn.Module):
    """Bring each vector to mean 0 and variance 1, then scale and shift it as learned.

    y = weight * (x - mean) / sqrt(variance + eps) + bias, over the last dimension, the variance
    taken without Bessel's correction (Ba, Kiros and Hinton, 2016). `F.layer_norm` computes just
    that in one pass.
    """

    def __init__(self, width: int, eps: float, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        self.eps = eps

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Return the normalised vectors."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class RMSNorm(nn.Module):
    """Divide each vector by its root mean square, then scale it as learned.

    y = weight * x / sqrt(mean(x^2) + eps) (Zhang and Sennrich, 2019): no mean, no bias.
    """

    def __init__(self, width: int, eps: float, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Return the normalised vectors."""
        # In its weight's numbers: autocast hands some norms 16 bits, which no fused kernel mixes.
        return F.rms_norm(x.to(self.weight.dtype), self.weight.shape, self.weight, self.eps)


class ZeroCenteredRMSNorm(nn.Module):
    """Do as `RMSNorm`, with 1 + weight for weight: decay then pulls towards doing nothing (Gemma).

    y = (1 + weight) * x / sqrt(mean(x^2) + eps).
    """

    def __init__(self, width: int, eps: float, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))
        self.eps = eps

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Return the normalised vectors."""
        x = x.to(self.weight.dtype)
        return F.rms_norm(x, self.weight.shape, 1.0 + self.weight, self.eps)


Norms = Mapping[str, Callable[[int, float, bool], nn.Module]]

NORMS: Norms = {
    "layernorm": LayerNorm,
    "rmsnorm": RMSNorm,
    "zero_centered_rmsnorm": ZeroCenteredRMSNorm,
}


def build_norm(config: GPTConfig, width: int | None = None, norms: Norms = NORMS) -> nn.Module:
    """Return the norm that `config` names, for vectors of `width` (emb_dim where not given)."""
    given = (width or config.emb_dim, config.norm_eps, config.bias)
    return make_part("norm", norms, config.norm, *given)
