"""Every parameter of a model by name, shape and part, from its config alone.

The architecture's knowledge stands here and in `groundup.model`; a test holds the two equal for
every preset. Counting, storing and checking models needs only this page, and no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from groundup.config.gpt import GPTConfig

PARTS = (
    "token embedding",
    "position embedding",
    "attention",
    "feed-forward",
    "normalisation",
    "output head",
)


class Parameter(NamedTuple):
    """One tensor of a model: its state-dict name, its shape and the part it belongs to."""

    name: str
    shape: tuple[int, ...]
    part: str

    @property
    def size(self) -> int:
        """Number of values in the tensor."""
        return math.prod(self.shape)


def parameter_shapes(config: GPTConfig) -> Iterator[Parameter]:
    """Yield every parameter in the order of `GPT.named_parameters()`; tied ones appear once."""
    width = config.emb_dim
    yield Parameter("token_embedding.weight", (config.vocab_size, width), "token embedding")
    yield Parameter(
        "position_embedding.weight", (config.context_length, width), "position embedding"
    )
    for i in range(config.n_layers):
        yield from _block(config, f"blocks.{i}.")
    yield from _norm(width, "final_norm.")
    if not config.tie_embeddings:
        yield Parameter("lm_head.weight", (config.vocab_size, width), "output head")


def _block(config: GPTConfig, at: str) -> Iterator[Parameter]:
    width, inner = config.emb_dim, config.ffn_width
    yield from _norm(width, f"{at}attn_norm.")
    for projection in ("query", "key", "value"):
        yield from _linear(width, width, f"{at}attn.{projection}.", "attention", config.qkv_bias)
    yield from _linear(width, width, f"{at}attn.out.", "attention", True)
    yield from _norm(width, f"{at}ffn_norm.")
    yield from _linear(width, inner, f"{at}ffn.up.", "feed-forward", True)
    yield from _linear(inner, width, f"{at}ffn.down.", "feed-forward", True)


def _linear(inputs: int, outputs: int, at: str, part: str, bias: bool) -> Iterator[Parameter]:
    yield Parameter(f"{at}weight", (outputs, inputs), part)
    if bias:
        yield Parameter(f"{at}bias", (outputs,), part)


def _norm(width: int, at: str) -> Iterator[Parameter]:
    yield Parameter(f"{at}weight", (width,), "normalisation")
    yield Parameter(f"{at}bias", (width,), "normalisation")
