"""Parts that groundup does not have, one for each table, as somebody might write them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from groundup import GPT, PARTS, GPTConfig
from groundup.model import (
    FeedForward,
    MultiHeadAttention,
    PreNormBlock,
    build_attention,
    build_feed_forward,
)


class NoNorm(nn.Module):
    def __init__(self, width: int, eps: float, bias: bool) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


class NoPositions(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.n_layers = config.n_layers

    def forward(self, x: Tensor, positions: object) -> Tensor:
        return x

    def rotations(self, positions: object, device: torch.device) -> list[Any]:
        return [lambda x: x] * self.n_layers


class ScaledAttention(MultiHeadAttention):
    """Attention with a factor that is learnt, and with numbers that are not."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.factor = nn.Parameter(torch.full((1,), 0.5))
        self.shift: Tensor
        self.fixed = torch.linspace(1, 2, self.query.in_features)
        self.which = torch.arange(self.query.in_features) % 2 == 0
        self.register_buffer("shift", torch.full((1,), 0.25), persistent=False)

    def forward(self, x: Tensor, *given: Any) -> Tensor:
        return super().forward(x, *given) * self.factor * self.fixed + self.shift * self.which


class MemoryBlock(nn.Module):
    """A block without shortcuts or norms, with a matrix in a place that groundup does not know."""

    def __init__(self, config: GPTConfig, layer: int, attend: Any, parts: Any) -> None:
        super().__init__()
        self.attn = build_attention(config, layer, attend, parts)
        self.memory = nn.Linear(config.emb_dim, 2 * config.emb_dim, bias=False)
        self.back = nn.Linear(2 * config.emb_dim, config.emb_dim, bias=False)
        self.ffn = build_feed_forward(config, parts.feed_forwards)

    def init_weights(self) -> None:
        nn.init.ones_(self.back.weight)

    def forward(self, x: Tensor, cache: Any, rotate: Any) -> Any:
        x = self.attn(x, cache, rotate)
        return self.ffn(self.back(self.memory(x)))


class OneKeyAttention(nn.Module):
    """Two queries share one key, and the value is wider than it."""

    def __init__(self, config: GPTConfig, layer: int, attend: Any, norms: Any) -> None:
        super().__init__()
        self.layer = layer
        self.query = nn.Linear(config.emb_dim, 2 * 4)
        self.key, self.value = nn.Linear(config.emb_dim, 4), nn.Linear(config.emb_dim, 8)
        self.out = nn.Linear(2 * 8, config.emb_dim)

    def attend(self, query: Tensor, key: Tensor, allowed: Tensor) -> Tensor:
        return (query @ key.mT).masked_fill(~allowed, -torch.inf).softmax(-1)

    def forward(self, x: Tensor, cache: Any, rotate: Any) -> Tensor:
        query = self.query(x).unflatten(-1, (2, 4)).transpose(1, 2)
        key, value = cache.extend(self.layer, self.key(x)[:, None], self.value(x)[:, None])
        allowed = cache.mask(None, x.shape[1]).table(x.shape[1], key.shape[2], x.device)
        mixed = self.attend(query, key, allowed) @ value
        return self.out(mixed.transpose(1, 2).flatten(2))


class SeldomBlock(nn.Module):
    """A block that attends in every second layer, the first not among them."""

    def __init__(self, config: GPTConfig, layer: int, attend: Any, parts: Any) -> None:
        super().__init__()
        self.ffn = build_feed_forward(config, parts.feed_forwards)
        self.attends = layer % 2 == 1
        if self.attends:
            self.attn = build_attention(config, layer, attend, parts)

    def forward(self, x: Tensor, cache: Any, rotate: Any) -> Any:
        if self.attends:
            x = x + self.attn(x, cache, rotate)
        return x + self.ffn(x)


class SharedBlock(PreNormBlock):
    """A block that has a matrix in common with the first layer's."""

    first: ClassVar[nn.Parameter]

    def __init__(self, config: GPTConfig, layer: int, attend: Any, parts: Any) -> None:
        super().__init__(config, layer, attend, parts)
        network: Any = self.ffn
        if layer == 0:
            SharedBlock.first = network.up.weight
        network.up.weight = SharedBlock.first


OWN = replace(
    PARTS,
    norms={**PARTS.norms, "none": NoNorm},
    positions={**PARTS.positions, "none": NoPositions},
    feed_forwards={**PARTS.feed_forwards, "squash": partial(FeedForward, activation=torch.tanh)},
    attentions={**PARTS.attentions, "scaled": ScaledAttention, "one_key": OneKeyAttention},
    blocks={**PARTS.blocks, "memory": MemoryBlock, "seldom": SeldomBlock, "shared": SharedBlock},
)
CHOICES: dict[str, dict[str, Any]] = {
    "norm": {"norm": "none"},
    "position": {"position": "none"},
    "feed_forward": {"feed_forward": "squash"},
    "experts": {"feed_forward": "squash", "n_experts": 3, "n_active_experts": 2},
    "attention": {"attention": "scaled"},
    "block": {"norm_order": "memory"},
    "one_key": {"attention": "one_key"},
    "seldom": {"norm_order": "seldom"},
    "shared": {"norm_order": "shared"},
    "all": {
        "norm": "none",
        "position": "none",
        "feed_forward": "squash",
        "attention": "scaled",
        "norm_order": "memory",
    },
}
SMALL: dict[str, Any] = {
    "vocab_size": 257,
    "context_length": 16,
    "emb_dim": 32,
    "n_heads": 2,
    "n_layers": 2,
}


def own_gpt(choice: str, **changes: Any) -> GPT:
    return GPT(GPTConfig(**{**SMALL, **CHOICES[choice], **changes}), parts=OWN).eval()
