"""Exact parameter counts, in total and per part, and the storage they take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from groundup.config import PLACES, GPTConfig, Parameter, parameter_shapes
from groundup.config.fields import check_known

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
"""Bytes of one value in each number format (int8 without its scales)."""
GPT2_CHOICES = (
    "vocab_size",
    "context_length",
    "emb_dim",
    "n_heads",
    "n_layers",
    "drop_rate",
    "attention_drop_rate",
    "ffn_dim",
    "norm_eps",
    "qkv_bias",
    "tie_embeddings",
)


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many parameters a model has, and by which convention they were counted."""

    convention: str
    parts: dict[str, int]
    active: int
    """Parameters at work on a token: all but those of the experts that its routers leave out."""

    @property
    def total(self) -> int:
        """All parameters; a tied output head is counted once, as the token embedding."""
        return sum(self.parts.values())

    def storage(self, number_format: str = "fp32") -> int:
        """Return the bytes that the weights take in one of the formats of `BYTES`."""
        return self.total * BYTES[number_format]


def count_parameters(config: GPTConfig, parameters: Iterable[Parameter] | None = None) -> Count:
    """Count every parameter of `config`'s model, exactly.

    All blocks are alike: n_layers of them are counted as a model of one layer and n_layers - 1
    times what a second layer adds, so that no size, however impossible, takes long to refuse.
    `parameters`, of a model with parts that groundup does not have, are counted one by one.
    """
    idle, experts = config.n_experts - config.n_active_experts, max(1, config.n_experts)
    if parameters is not None:
        listed = list(parameters)
        parts = _by_part(listed)
        in_experts = sum(p.size for p in listed if ".experts." in p.name)
    else:
        block, one = block_parts(config), _parts(config.replace(n_layers=1))
        more = config.n_layers - 1
        parts = {part: n + more * block[part] for part, n in one.items() if n or block[part]}
        in_experts = config.n_layers * experts * _in_expert(config)
    active = sum(parts.values()) - in_experts * idle // experts
    return Count(convention=convention(config), parts=parts, active=active)


def block_parts(config: GPTConfig, parameters: Iterable[Parameter] | None = None) -> dict[str, int]:
    """Return the parameters of one transformer block, of `parameters` the first, per part."""
    if parameters is not None:
        return _by_part(p for p in parameters if p.name.startswith("blocks.0."))
    one, two = (_parts(config.replace(n_layers=n)) for n in (1, 2))
    return {part: two[part] - size for part, size in one.items()}


def matrix_weights(config: GPTConfig, n_experts: int) -> int:
    """Return the weights that multiply in one block when so many of its experts work."""
    check_known(config)
    attention = 2 * config.emb_dim * config.head_dim * (config.n_heads + config.n_kv_heads)
    network = (3 if config.is_gated else 2) * config.emb_dim * config.ffn_dim
    shared = (3 if config.is_gated else 2) * config.emb_dim * config.shared_ffn_dim
    router = (config.n_experts + bool(shared)) * config.emb_dim
    return attention + max(1, n_experts) * network + shared + router


def windowed_layers(config: GPTConfig) -> int:
    """Return how many layers see only a window."""
    if config.window is None:
        return 0
    pattern = config.window_pattern
    rounds, rest = divmod(config.n_layers, len(pattern))
    return rounds * pattern.count("L") + pattern[:rest].count("L")


def convention(config: GPTConfig) -> str:
    """Name what a count of `config` includes: the output head, and which biases."""
    tied = "tied" if config.tie_embeddings else "untied"
    if not _is_gpt2(config):
        return f"{tied}, with query-key-value bias" if config.qkv_bias else tied
    if config.tie_embeddings and config.qkv_bias:
        return "tied, with query-key-value bias, as OpenAI's GPT-2"
    return f"{tied}, {'with' if config.qkv_bias else 'without'} query-key-value bias"


def conventions(config: GPTConfig) -> list[Count]:
    """Count the same shape by the conventions in which such sizes are quoted.

    GPT-2's are three; of others only the output head is counted now once, now twice.
    """
    choices = [(False, False), (True, False), (True, True)]
    if not _is_gpt2(config):
        choices = [(False, config.qkv_bias), (True, config.qkv_bias)]
    return [
        count_parameters(config.replace(tie_embeddings=tied, qkv_bias=bias))
        for tied, bias in choices
    ]


def _is_gpt2(config: GPTConfig) -> bool:
    """Return whether nothing but sizes and these two choices sets a model apart from GPT-2."""
    same = {name: getattr(config, name) for name in GPT2_CHOICES}
    return config == GPTConfig(**same)


def _by_part(parameters: Iterable[Parameter]) -> dict[str, int]:
    """Return how large each part is: first those that every model has, in their order."""
    sizes = Counter(dict.fromkeys(PLACES.values(), 0))
    for parameter in parameters:
        sizes[parameter.part] += parameter.size
    return {part: size for part, size in sizes.items() if size}


def _in_expert(config: GPTConfig) -> int:
    """Return the parameters of one expert."""
    few = min(1, config.n_experts)
    one = config.replace(n_layers=1, n_experts=few, n_active_experts=few)
    return sum(p.size for p in parameter_shapes(one) if ".experts." in p.name)


def _parts(config: GPTConfig) -> Counter[str]:
    """Return the parameters per part; of experts, which are alike as well, one is looked at."""
    few = min(1, config.n_experts)
    parts = Counter(dict.fromkeys(PLACES.values(), 0))
    for parameter in parameter_shapes(config.replace(n_experts=few, n_active_experts=few)):
        is_of_experts = ".experts." in parameter.name or parameter.part == "router"
        alike = max(1, config.n_experts) if is_of_experts else 1
        parts[parameter.part] += alike * parameter.size
    return parts
