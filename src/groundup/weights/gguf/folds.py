"""Factors that an architecture multiplies by each time; our weights take them in when read.

A module stands for all of its parameters; the "#" is the number of any layer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

import torch

from groundup.config import GPTConfig
from groundup.runs.tensor_file import Stored

Scale = Callable[[str], float]
"""Returns the number at a key, 0 where it is absent."""

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


def granite_folds(scale: Scale, config: GPTConfig) -> dict[str, float]:
    """Return Granite's multipliers; what is left is a Llama."""
    embedding = scale("embedding_scale") or 1.0
    residual = scale("residual_scale") or 1.0
    attention = scale("attention.scale") * math.sqrt(config.head_dim) or 1.0
    # A tied output head takes the embedding's factor, too: the norm before it undoes that.
    tied = embedding if config.tie_embeddings else 1.0
    return {
        "token_embedding": embedding,
        "blocks.#.attn.query": attention,
        "blocks.#.attn.out": residual,
        "blocks.#.ffn.down": residual,
        "final_norm": 1 / ((scale("logit_scale") or 1.0) * tied),
    }


def cohere2_folds(scale: Scale, config: GPTConfig) -> dict[str, float]:
    """Return the factor of Cohere's logits."""
    return {"final_norm": scale("logit_scale") or 1.0}


def folded(tensors: Mapping[str, Stored], factors: Mapping[str, float]) -> dict[str, Stored]:
    """Return tensors multiplied by the factors of their modules."""
    return {
        name: _times(stored, factors.get(_NUMBER.sub("#", name.rpartition(".")[0]), 1.0))
        for name, stored in tensors.items()
    }


def _times(stored: Stored, factor: float) -> Stored:
    """Return a tensor times a factor; in its own numbers where these stay exact, else in fp32."""
    if factor == 1:
        return stored
    dtype = stored.dtype if math.frexp(factor)[0] == 0.5 else torch.float32
    return Stored(stored.shape, dtype, lambda: (stored.read().float() * factor).to(dtype))
