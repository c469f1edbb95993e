"""The transformer block: two steps, each added to what came in (the shortcut connections).

The orders differ in where the norms stand. Each is a class of its own. `PARTS` are all the parts
that groundup has.
"""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from groundup.attend import Attend
from groundup.config import GPTConfig
from groundup.model.attention import ATTENTIONS, NO_CACHE, Cache
from groundup.model.feed_forward import FEED_FORWARDS, build_feed_forward
from groundup.model.norms import NORMS, build_norm
from groundup.model.parts import Parts, make_part
from groundup.model.positions import POSITIONS, Rotate, unrotated

BLOCKS: dict[str, Callable[..., nn.Module]] = {}  # filled below, once there are any
PARTS = Parts(
    norms=NORMS,
    positions=POSITIONS,
    feed_forwards=FEED_FORWARDS,
    attentions=ATTENTIONS,
    blocks=BLOCKS,
)


def build_attention(config: GPTConfig, layer: int, attend: Attend, parts: Parts) -> nn.Module:
    """Return the attention that `config` names."""
    return make_part(
        "attention", parts.attentions, config.attention, config, layer, attend, parts.norms
    )


class PreNormBlock(nn.Module):
    """Normalise and attend, normalise and feed forward: GPT-2, Llama, Qwen."""

    def __init__(self, config: GPTConfig, layer: int, attend: Attend, parts: Parts = PARTS) -> None:
        super().__init__()
        self.attn_norm = build_norm(config, norms=parts.norms)
        self.attn = build_attention(config, layer, attend, parts)
        self.ffn_norm = build_norm(config, norms=parts.norms)
        self.ffn = build_feed_forward(config, parts.feed_forwards)

    def forward(
        self, x: Float[Tensor, "B T D"], cache: Cache = NO_CACHE, rotate: Rotate = unrotated
    ) -> Float[Tensor, "B T D"]:
        """Return `x` with this block's two contributions added."""
        x = x + self.attn(self.attn_norm(x), cache, rotate)
        return x + self.ffn(self.ffn_norm(x))


class PostNormBlock(nn.Module):
    """Attend and normalise, feed forward and normalise: what is added is normed (OLMo 2)."""

    def __init__(self, config: GPTConfig, layer: int, attend: Attend, parts: Parts = PARTS) -> None:
        super().__init__()
        self.attn = build_attention(config, layer, attend, parts)
        self.attn_post_norm = build_norm(config, norms=parts.norms)
        self.ffn = build_feed_forward(config, parts.feed_forwards)
        self.ffn_post_norm = build_norm(config, norms=parts.norms)

    def forward(
        self, x: Float[Tensor, "B T D"], cache: Cache = NO_CACHE, rotate: Rotate = unrotated
    ) -> Float[Tensor, "B T D"]:
        """Return `x` with this block's two contributions added."""
        x = x + self.attn_post_norm(self.attn(x, cache, rotate))
        return x + self.ffn_post_norm(self.ffn(x))


class SandwichBlock(nn.Module):
    """Normalise before and after both steps (Gemma 2 and 3, GLM-4)."""

    def __init__(self, config: GPTConfig, layer: int, attend: Attend, parts: Parts = PARTS) -> None:
        super().__init__()
        self.attn_norm = build_norm(config, norms=parts.norms)
        self.attn = build_attention(config, layer, attend, parts)
        self.attn_post_norm = build_norm(config, norms=parts.norms)
        self.ffn_norm = build_norm(config, norms=parts.norms)
        self.ffn = build_feed_forward(config, parts.feed_forwards)
        self.ffn_post_norm = build_norm(config, norms=parts.norms)

    def forward(
        self, x: Float[Tensor, "B T D"], cache: Cache = NO_CACHE, rotate: Rotate = unrotated
    ) -> Float[Tensor, "B T D"]:
        """Return `x` with this block's two contributions added."""
        x = x + self.attn_post_norm(self.attn(self.attn_norm(x), cache, rotate))
        return x + self.ffn_post_norm(self.ffn(self.ffn_norm(x)))


class ParallelBlock(PreNormBlock):
    """Attend and feed forward from the same input, each after its own norm (GPT-NeoX)."""

    def forward(
        self, x: Float[Tensor, "B T D"], cache: Cache = NO_CACHE, rotate: Rotate = unrotated
    ) -> Float[Tensor, "B T D"]:
        """Return `x` with this block's two contributions added."""
        return x + self.attn(self.attn_norm(x), cache, rotate) + self.ffn(self.ffn_norm(x))


class SharedNormBlock(nn.Module):
    """Attend and feed forward from the same normalised input (GPT-J, Phi, Cohere)."""

    def __init__(self, config: GPTConfig, layer: int, attend: Attend, parts: Parts = PARTS) -> None:
        super().__init__()
        self.attn_norm = build_norm(config, norms=parts.norms)
        self.attn = build_attention(config, layer, attend, parts)
        self.ffn = build_feed_forward(config, parts.feed_forwards)

    def forward(
        self, x: Float[Tensor, "B T D"], cache: Cache = NO_CACHE, rotate: Rotate = unrotated
    ) -> Float[Tensor, "B T D"]:
        """Return `x` with this block's two contributions added."""
        normed = self.attn_norm(x)
        return x + self.attn(normed, cache, rotate) + self.ffn(normed)


BLOCKS.update(
    pre=PreNormBlock,
    post=PostNormBlock,
    sandwich=SandwichBlock,
    parallel=ParallelBlock,
    parallel_shared=SharedNormBlock,
)
