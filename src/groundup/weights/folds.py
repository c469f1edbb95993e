"""Factors that an architecture multiplies by each time; our weights take them in when read.

A module stands for all of its parameters; the "#" is the number of any layer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch

from groundup.config import GPTConfig
from groundup.runs.tensor_file import Stored

Folds = dict[str, float]
"""The factor of each module that has one."""

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


def granite_folds(
    config: GPTConfig, embedding: float, attention: float, residual: float, logits: float
) -> Folds:
    """Return Granite's multipliers (`logits` divides; `attention` 0: none); a Llama is left."""
    # A tied output head takes the embedding's factor, too: the norm before it undoes that.
    tied = embedding if config.tie_embeddings else 1.0
    return {
        "token_embedding": embedding,
        "blocks.#.attn.query": attention * math.sqrt(config.head_dim) or 1.0,
        "blocks.#.attn.out": residual,
        "blocks.#.ffn.down": residual,
        "final_norm": 1 / (logits * tied),
    }


def cohere2_folds(logit_scale: float) -> Folds:
    """Return the factor of Cohere's logits."""
    return {"final_norm": logit_scale}


def folded(tensors: Mapping[str, Stored], folds: Folds) -> dict[str, Stored]:
    """Return tensors multiplied by the factors of their modules."""
    return {
        name: _times(stored, folds.get(_NUMBER.sub("#", name.rpartition(".")[0]), 1.0))
        for name, stored in tensors.items()
    }


def _times(stored: Stored, factor: float) -> Stored:
    """Return a tensor times a factor; in its own numbers where these stay exact, else in fp32."""
    if factor == 1:
        return stored
    dtype = stored.dtype if math.frexp(factor)[0] == 0.5 else torch.float32
    return Stored(stored.shape, dtype, lambda: (stored.read().float() * factor).to(dtype))
