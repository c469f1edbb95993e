"""Models whose every tensor is random: fresh norms and biases are 1 and 0 and hide swaps."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from groundup import GPT, GPTConfig

SHAPES: list[dict[str, Any]] = [
    {"emb_dim": 32, "n_heads": 4, "n_layers": 2, "context_length": 16, "vocab_size": 61},
    {"emb_dim": 48, "n_heads": 3, "n_layers": 3, "context_length": 24, "vocab_size": 101},
    {"emb_dim": 40, "n_heads": 5, "n_layers": 1, "context_length": 9, "vocab_size": 17},
    {"emb_dim": 64, "n_heads": 1, "n_layers": 4, "context_length": 33, "vocab_size": 257},
]


@torch.no_grad()
def randomise(model: nn.Module, seed: int = 0, scale: float = 0.2) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)


def random_gpt(seed: int = 0, scale: float = 0.2, **config: Any) -> GPT:
    model = GPT(GPTConfig(**config)).eval()
    randomise(model, seed, scale)
    return model
