"""How a token learns where it stands: without this, attention sees a bag of words."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundup.config import GPTConfig


class LearnedPositions(nn.Module):
    """Add one learned vector for each position from 0 to context_length - 1, as GPT-2 does."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.context_length, config.emb_dim))

    def forward(self, x: Float[Tensor, "B T D"], positions: slice | Tensor) -> Tensor:
        """Return `x` (B, T, D) with the vector of each token's position added."""
        return x + self.weight[positions]
