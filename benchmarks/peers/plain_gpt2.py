"""A plain eager GPT-2: what a careful programmer writes first, with PyTorch's own fast parts.

The architecture of Radford et al. 2019 with one product for query, key and value, PyTorch's fused
attention, exact GELU, and a loss over all logits at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    vocab_size: int
    context_length: int
    emb_dim: int
    n_heads: int
    n_layers: int
    bias: bool = True


class Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, bias = shape.emb_dim, shape.bias
        self.n_heads = shape.n_heads
        self.norm_1 = nn.LayerNorm(width, bias=bias)
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.attention_out = nn.Linear(width, width, bias=bias)
        self.norm_2 = nn.LayerNorm(width, bias=bias)
        self.widen = nn.Linear(width, 4 * width, bias=bias)
        self.gelu = nn.GELU()
        self.narrow = nn.Linear(4 * width, width, bias=bias)

    def attention(self, x: Tensor) -> Tensor:
        heads = self.qkv(x).unflatten(-1, (3, self.n_heads, -1))  # (B, T, 3, N, H)
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each (B, N, T, H)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.attention_out(mixed.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm_1(x))
        return x + self.narrow(self.gelu(self.widen(self.norm_2(x))))


class PlainGPT2(nn.Module):
    """Tokens (B, T) to logits (B, T, V); the output head is the token embedding."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocab_size, shape.emb_dim)
        self.positions = nn.Embedding(shape.context_length, shape.emb_dim)
        self.blocks = nn.Sequential(*(Block(shape) for _ in range(shape.n_layers)))
        self.norm = nn.LayerNorm(shape.emb_dim, bias=shape.bias)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.dim() == 2:
                shortcut = name.endswith(("attention_out.weight", "narrow.weight"))
                nn.init.normal_(
                    parameter, std=0.02 / math.sqrt(2 * shape.n_layers) if shortcut else 0.02
                )

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.blocks(self.tokens(tokens) + self.positions(places))
        return F.linear(self.norm(x), self.tokens.weight)

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(self(tokens).flatten(0, 1), targets.flatten())


def adamw(model: nn.Module, learning_rate: float, beta2: float) -> torch.optim.AdamW:
    """Return AdamW as PyTorch chooses it on this device; only matrices decay."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, beta2))
