"""Norms and blocks that groundup does not have: no norm, a squashing, no shortcuts."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from groundup.attend import Attend
from groundup.config import GPTConfig
from groundup.model import PARTS, PreNormBlock, build_attention, build_feed_forward, build_norm
from groundup.model.attention import NO_CACHE, Cache
from groundup.model.parts import Parts
from groundup.model.positions import Rotate, unrotated


class OriginalBlock(nn.Module):
    """The first transformers' order (Vaswani et al., 2017): the sum is normed, `norm(x + f(x))`."""

    def __init__(self, config: GPTConfig, layer: int, attend: Attend, parts: Parts) -> None:
        super().__init__()
        self.attn = build_attention(config, layer, attend, parts)
        self.attn_norm = build_norm(config, norms=parts.norms)
        self.ffn = build_feed_forward(config, parts.feed_forwards)
        self.ffn_norm = build_norm(config, norms=parts.norms)

    def forward(self, x: Tensor, cache: Cache = NO_CACHE, rotate: Rotate = unrotated) -> Tensor:
        """Return `x` (B, T, D) with each contribution added and the sum normed."""
        x = self.attn_norm(x + self.attn(x, cache, rotate))
        return self.ffn_norm(x + self.ffn(x))  # type: ignore[no-any-return]


class BareBlock(PreNormBlock):
    """No shortcut: what comes in is gone."""

    def forward(self, x: Tensor, cache: Cache = NO_CACHE, rotate: Rotate = unrotated) -> Tensor:
        """Return what the feed-forward makes of what attention makes of `x` (B, T, D)."""
        x = self.attn(self.attn_norm(x), cache, rotate)
        made: Tensor = self.ffn(self.ffn_norm(x))
        return made


class AttentionShortcutBlock(PreNormBlock):
    """A shortcut only round attention."""

    def forward(self, x: Tensor, cache: Cache = NO_CACHE, rotate: Rotate = unrotated) -> Tensor:
        """Return what the feed-forward makes of `x` (B, T, D) and attention's contribution."""
        x = x + self.attn(self.attn_norm(x), cache, rotate)
        made: Tensor = self.ffn(self.ffn_norm(x))
        return made


class FeedForwardShortcutBlock(PreNormBlock):
    """A shortcut only round the feed-forward."""

    def forward(self, x: Tensor, cache: Cache = NO_CACHE, rotate: Rotate = unrotated) -> Tensor:
        """Return what attention makes of `x` (B, T, D), with the feed-forward's added."""
        x = self.attn(self.attn_norm(x), cache, rotate)
        made: Tensor = x + self.ffn(self.ffn_norm(x))
        return made


class NoNorm(nn.Module):
    """No norm: what comes in goes out."""

    def __init__(self, width: int, eps: float, bias: bool) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`."""
        return x


class DynamicTanh(nn.Module):
    """Squash each number by itself: y = weight * tanh(alpha * x) + bias (Zhu et al., 2025).

    No mean and no variance is taken; alpha, one number, is learnt from 0.5 on.
    """

    def __init__(self, width: int, eps: float, bias: bool) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.full((1,), 0.5))
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the squashed vectors (…, D)."""
        return self.weight * torch.tanh(self.alpha * x) + self.bias


OWN = replace(
    PARTS,
    norms={**PARTS.norms, "none": NoNorm, "dynamic_tanh": DynamicTanh},
    blocks={
        **PARTS.blocks,
        "original": OriginalBlock,
        "none": BareBlock,
        "attention": AttentionShortcutBlock,
        "feed_forward": FeedForwardShortcutBlock,
    },
)
