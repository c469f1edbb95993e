"""The architecture. Read it in this order: gpt, block, attention, feed_forward, norms, positions,
init. It knows nothing of caching, training, loading or sampling: those attach from outside.
"""

from groundup.model.attention import (
    CAUSAL,
    NO_CACHE,
    Cache,
    Mask,
    MultiHeadAttention,
    fused_attention,
    plain_attention,
)
from groundup.model.block import Block
from groundup.model.feed_forward import FeedForward
from groundup.model.gpt import GPT
from groundup.model.mode import evaluation_mode
from groundup.model.norms import LayerNorm
from groundup.model.positions import LearnedPositions

__all__ = [
    "CAUSAL",
    "GPT",
    "NO_CACHE",
    "Block",
    "Cache",
    "FeedForward",
    "LayerNorm",
    "LearnedPositions",
    "Mask",
    "MultiHeadAttention",
    "evaluation_mode",
    "fused_attention",
    "plain_attention",
]
