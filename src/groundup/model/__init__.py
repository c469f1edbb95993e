"""The architecture. Read it in this order: gpt, block, attention, feed_forward, norms, positions,
init, and for the scores of attention the room `attend`; `parts` says how to add to them, `checks`
what is accepted, `empty`, `mode` and `vocabulary` serve those who use it. It knows nothing of
caching, training, loading or sampling: those attach from outside.
"""

from groundup.attend import (
    CAUSAL,
    Mask,
    attention_weights,
    blockwise_attention,
    fused_attention,
    plain_attention,
    soft_cap,
)
from groundup.model.attention import ATTENTIONS, NO_CACHE, Cache, MultiHeadAttention
from groundup.model.block import (
    BLOCKS,
    PARTS,
    PostNormBlock,
    PreNormBlock,
    SandwichBlock,
    build_attention,
)
from groundup.model.empty import empty_gpt, filled_gpt, shapes_of, shapes_with
from groundup.model.feed_forward import (
    FEED_FORWARDS,
    FeedForward,
    GatedFeedForward,
    MixtureOfExperts,
    build_feed_forward,
)
from groundup.model.gpt import GPT, OutputHead
from groundup.model.mode import evaluation_mode
from groundup.model.norms import NORMS, LayerNorm, RMSNorm, ZeroCenteredRMSNorm, build_norm
from groundup.model.parts import Parts
from groundup.model.positions import POSITIONS, LearnedPositions, RotaryPositions
from groundup.model.vocabulary import grown

__all__ = [
    "ATTENTIONS",
    "BLOCKS",
    "CAUSAL",
    "FEED_FORWARDS",
    "GPT",
    "NORMS",
    "NO_CACHE",
    "PARTS",
    "POSITIONS",
    "Cache",
    "FeedForward",
    "GatedFeedForward",
    "LayerNorm",
    "LearnedPositions",
    "Mask",
    "MixtureOfExperts",
    "MultiHeadAttention",
    "OutputHead",
    "Parts",
    "PostNormBlock",
    "PreNormBlock",
    "RMSNorm",
    "RotaryPositions",
    "SandwichBlock",
    "ZeroCenteredRMSNorm",
    "attention_weights",
    "blockwise_attention",
    "build_attention",
    "build_feed_forward",
    "build_norm",
    "empty_gpt",
    "evaluation_mode",
    "filled_gpt",
    "fused_attention",
    "grown",
    "plain_attention",
    "shapes_of",
    "shapes_with",
    "soft_cap",
]
