"""Every parameter of a model by name, shape and part, from its config alone.

The architecture's knowledge stands here and in `groundup.model`; a test holds the two equal for
every preset. Counting, storing and checking models needs only this file, and no torch. Of parts
that groundup does not have, `groundup.model.shapes_of` reads the shapes from a model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from groundup.base.errors import ConfigError
from groundup.config.gpt import GPTConfig, foreign_parts

PLACES = {
    "token_embedding": "token embedding",
    "position_embedding": "position embedding",
    "attn": "attention",
    "ffn": "feed-forward",
    "router": "router",
    "norm": "normalisation",
    "lm_head": "output head",
}
"""What a table of counts calls the parameters of a place in the model, in its order."""


class Parameter(NamedTuple):
    """One tensor of a model: its state-dict name, its shape and the part it belongs to."""

    name: str
    shape: tuple[int, ...]
    part: str

    @property
    def size(self) -> int:
        """Number of values in the tensor."""
        return math.prod(self.shape)


def part_of(name: str) -> str:
    """Return what a parameter's part is called, by the innermost known place in its name.

    One of no known place belongs to the part that its block, or the model, has under that name:
    blocks.0.memory.key.weight to "memory".
    """
    places = name.split(".")[:-1]
    for place in reversed(places):
        place = "norm" if place.endswith("_norm") else place
        if place in PLACES:
            return PLACES[place]
    own = [place for place in places if place != "blocks" and not place.isdigit()]
    return own[0] if own else "block"


def parameter_shapes(config: GPTConfig) -> Iterator[Parameter]:
    """Yield every parameter in the order of `GPT.named_parameters()`; tied ones appear once.

    Raises `ConfigError` for a part that groundup does not have: only a model tells its shapes.
    """
    for field, name in foreign_parts(config).items():
        raise ConfigError(
            f"{field} = {name!r}: the shapes of a part that groundup does not have are told by a "
            "model alone; in Python, give parameters=shapes_of(model)"
        )
    width = config.emb_dim
    yield Parameter("token_embedding.weight", (config.vocab_size, width), "token embedding")
    if config.position == "learned":
        shape = (config.context_length, width)
        yield Parameter("position_embedding.weight", shape, "position embedding")
    for i in range(config.n_layers):
        yield from _block(config, f"blocks.{i}.")
    yield from _norm(config, width, "final_norm.")
    if not config.tie_embeddings:
        yield Parameter("lm_head.weight", (config.vocab_size, width), "output head")
    if config.head_bias:
        yield Parameter("lm_head.bias", (config.vocab_size,), "output head")


def _block(config: GPTConfig, at: str) -> Iterator[Parameter]:
    width = config.emb_dim
    before, after = config.norm_order != "post", config.norm_order in ("post", "sandwich")
    if before:
        yield from _norm(config, width, f"{at}attn_norm.")
    yield from _attention(config, f"{at}attn.")
    if after:
        yield from _norm(config, width, f"{at}attn_post_norm.")
    if before and config.norm_order != "parallel_shared":
        yield from _norm(config, width, f"{at}ffn_norm.")
    yield from _feed_forward(config, f"{at}ffn.")
    if after:
        yield from _norm(config, width, f"{at}ffn_post_norm.")


def _attention(config: GPTConfig, at: str) -> Iterator[Parameter]:
    width, head = config.emb_dim, config.head_dim
    queries, keys = config.n_heads * head, config.n_kv_heads * head
    if config.attention_sinks:
        yield Parameter(f"{at}sinks", (config.n_heads,), "attention")
    for projection, outputs in (("query", queries), ("key", keys), ("value", keys)):
        yield from _linear(width, outputs, f"{at}{projection}.", "attention", config.qkv_bias)
    yield from _linear(queries, width, f"{at}out.", "attention", config.bias)
    if config.qk_norm != "none":
        whole = config.qk_norm == "width"
        yield from _norm(config, queries if whole else head, f"{at}query_norm.")
        yield from _norm(config, keys if whole else head, f"{at}key_norm.")


def _feed_forward(config: GPTConfig, at: str) -> Iterator[Parameter]:
    if not config.n_experts:
        yield from _network(config, at)
        return
    experts, bias = config.n_experts, config.router_bias
    yield from _linear(config.emb_dim, experts, f"{at}router.", "router", bias)
    for i in range(config.n_experts):
        yield from _network(config, f"{at}experts.{i}.")
    if config.shared_ffn_dim:
        yield from _network(config.replace(ffn_dim=config.shared_ffn_dim), f"{at}shared.")
        yield from _linear(config.emb_dim, 1, f"{at}shared_gate.", "feed-forward", bias=False)


def _network(config: GPTConfig, at: str) -> Iterator[Parameter]:
    width, inner, bias = config.emb_dim, config.ffn_dim, config.bias
    for projection in ("gate", "up") if config.is_gated else ("up",):
        yield from _linear(width, inner, f"{at}{projection}.", "feed-forward", bias)
    yield from _linear(inner, width, f"{at}down.", "feed-forward", bias)


def _linear(inputs: int, outputs: int, at: str, part: str, bias: bool) -> Iterator[Parameter]:
    yield Parameter(f"{at}weight", (outputs, inputs), part)
    if bias:
        yield Parameter(f"{at}bias", (outputs,), part)


def _norm(config: GPTConfig, width: int, at: str) -> Iterator[Parameter]:
    yield Parameter(f"{at}weight", (width,), "normalisation")
    if config.norm == "layernorm" and config.bias:
        yield Parameter(f"{at}bias", (width,), "normalisation")
