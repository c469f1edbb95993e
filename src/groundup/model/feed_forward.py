"""The feed-forward network: what a token does, by itself, with what attention gathered."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from groundup.config import GPTConfig


class FeedForward(nn.Module):
    """Widen each token's vector to F, bend it with GELU, and bring it back to D.

    GELU (Hendrycks and Gimpel, 2016) in the tanh form that GPT-2 was trained with.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.emb_dim, config.ffn_width)
        self.down = nn.Linear(config.ffn_width, config.emb_dim)
        self.dropout = nn.Dropout(config.drop_rate)

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Return the transformed vectors."""
        return self.dropout(self.down(F.gelu(self.up(x), approximate="tanh")))
