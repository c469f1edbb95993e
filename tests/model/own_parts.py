"""Parts that groundup does not have, one for each table, as somebody might write them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from groundup import GPT, PARTS, GPTConfig
from groundup.model import FeedForward, MultiHeadAttention, build_attention, build_feed_forward


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
        self.register_buffer("shift", torch.full((1,), 0.25), persistent=False)

    def forward(self, x: Tensor, *given: Any) -> Tensor:
        return super().forward(x, *given) * self.factor * self.fixed + self.shift


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


OWN = replace(
    PARTS,
    norms={**PARTS.norms, "none": NoNorm},
    positions={**PARTS.positions, "none": NoPositions},
    feed_forwards={**PARTS.feed_forwards, "squash": partial(FeedForward, activation=torch.tanh)},
    attentions={**PARTS.attentions, "scaled": ScaledAttention},
    blocks={**PARTS.blocks, "memory": MemoryBlock},
)
CHOICES: dict[str, dict[str, Any]] = {
    "norm": {"norm": "none"},
    "position": {"position": "none"},
    "feed_forward": {"feed_forward": "squash"},
    "experts": {"feed_forward": "squash", "n_experts": 3, "n_active_experts": 2},
    "attention": {"attention": "scaled"},
    "block": {"norm_order": "memory"},
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
