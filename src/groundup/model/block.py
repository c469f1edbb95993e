"""The transformer block: two steps, each added to what came in (the shortcut connections)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from groundup.config import GPTConfig
from groundup.model.attention import NO_CACHE, Attend, Cache, MultiHeadAttention
from groundup.model.feed_forward import FeedForward
from groundup.model.norms import LayerNorm


class Block(nn.Module):
    """Normalise and attend, normalise and feed forward: GPT-2's pre-norm order."""

    def __init__(self, config: GPTConfig, layer: int, attend: Attend) -> None:
        super().__init__()
        self.attn_norm = LayerNorm(config.emb_dim, config.norm_eps)
        self.attn = MultiHeadAttention(config, layer, attend)
        self.ffn_norm = LayerNorm(config.emb_dim, config.norm_eps)
        self.ffn = FeedForward(config)

    def forward(self, x: Float[Tensor, "B T D"], cache: Cache = NO_CACHE) -> Float[Tensor, "B T D"]:
        """Return `x` with this block's two contributions added."""
        x = x + self.attn(self.attn_norm(x), cache)
        return x + self.ffn(self.ffn_norm(x))
