"""The transformer block: two steps, each added to what came in (the shortcut connections).

The orders differ in where the norms stand. Each is a class of its own.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from groundup.config import GPTConfig
from groundup.model.attention import NO_CACHE, Attend, Cache, MultiHeadAttention
from groundup.model.feed_forward import build_feed_forward
from groundup.model.norms import build_norm
from groundup.model.positions import Rotate, unrotated


class PreNormBlock(nn.Module):
    """Normalise and attend, normalise and feed forward: GPT-2, Llama, Qwen."""

    def __init__(self, config: GPTConfig, layer: int, attend: Attend) -> None:
        super().__init__()
        self.attn_norm = build_norm(config)
        self.attn = MultiHeadAttention(config, layer, attend)
        self.ffn_norm = build_norm(config)
        self.ffn = build_feed_forward(config)

    def forward(
        self, x: Float[Tensor, "B T D"], cache: Cache = NO_CACHE, rotate: Rotate = unrotated
    ) -> Float[Tensor, "B T D"]:
        """Return `x` with this block's two contributions added."""
        x = x + self.attn(self.attn_norm(x), cache, rotate)
        return x + self.ffn(self.ffn_norm(x))


class PostNormBlock(nn.Module):
    """Attend and normalise, feed forward and normalise: what is added is normed (OLMo 2)."""

    def __init__(self, config: GPTConfig, layer: int, attend: Attend) -> None:
        super().__init__()
        self.attn = MultiHeadAttention(config, layer, attend)
        self.attn_post_norm = build_norm(config)
        self.ffn = build_feed_forward(config)
        self.ffn_post_norm = build_norm(config)

    def forward(
        self, x: Float[Tensor, "B T D"], cache: Cache = NO_CACHE, rotate: Rotate = unrotated
    ) -> Float[Tensor, "B T D"]:
        """Return `x` with this block's two contributions added."""
        x = x + self.attn_post_norm(self.attn(x, cache, rotate))
        return x + self.ffn_post_norm(self.ffn(x))


class SandwichBlock(nn.Module):
    """Normalise before and after both steps (Gemma 2 and 3)."""

    def __init__(self, config: GPTConfig, layer: int, attend: Attend) -> None:
        super().__init__()
        self.attn_norm = build_norm(config)
        self.attn = MultiHeadAttention(config, layer, attend)
        self.attn_post_norm = build_norm(config)
        self.ffn_norm = build_norm(config)
        self.ffn = build_feed_forward(config)
        self.ffn_post_norm = build_norm(config)

    def forward(
        self, x: Float[Tensor, "B T D"], cache: Cache = NO_CACHE, rotate: Rotate = unrotated
    ) -> Float[Tensor, "B T D"]:
        """Return `x` with this block's two contributions added."""
        x = x + self.attn_post_norm(self.attn(self.attn_norm(x), cache, rotate))
        return x + self.ffn_post_norm(self.ffn(self.ffn_norm(x)))


BLOCKS: dict[str, type[PreNormBlock] | type[PostNormBlock] | type[SandwichBlock]] = {
    "pre": PreNormBlock,
    "post": PostNormBlock,
    "sandwich": SandwichBlock,
}
