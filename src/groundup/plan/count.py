"""Exact parameter counts, in total and per part, and the storage they take."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from groundup.config import PARTS, GPTConfig, parameter_shapes

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
"""Bytes of one value in each number format (int8 without its scales)."""
EXPERT_PARTS = ("feed-forward", "router")
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


def count_parameters(config: GPTConfig) -> Count:
    """Count every parameter of `config`'s model, exactly.

    All blocks are alike: n_layers of them are counted as a model of one layer and n_layers - 1
    times what a second layer adds, so that no size, however impossible, takes long to refuse.
    """
    block, one = block_parts(config), _parts(config.replace(n_layers=1))
    more = config.n_layers - 1
    parts = {part: one[part] + more * block[part] for part in PARTS if one[part] or block[part]}
    idle, experts = config.n_experts - config.n_active_experts, max(1, config.n_experts)
    active = sum(parts.values()) - parts["feed-forward"] * idle // experts
    return Count(convention=convention(config), parts=parts, active=active)


def block_parts(config: GPTConfig) -> dict[str, int]:
    """Return the parameters of one transformer block, per part."""
    one, two = (_parts(config.replace(n_layers=n)) for n in (1, 2))
    return {part: two[part] - one[part] for part in PARTS}


def matrix_weights(config: GPTConfig, n_experts: int) -> int:
    """Return the weights that multiply in one block when so many of its experts work."""
    attention = 2 * config.emb_dim * config.head_dim * (config.n_heads + config.n_kv_heads)
    network = (3 if config.is_gated else 2) * config.emb_dim * config.ffn_dim
    return attention + max(1, n_experts) * network + config.n_experts * config.emb_dim


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


def _parts(config: GPTConfig) -> Counter[str]:
    """Return the parameters per part; of experts, which are alike as well, one is looked at."""
    few = min(1, config.n_experts)
    parts: Counter[str] = Counter()
    for parameter in parameter_shapes(config.replace(n_experts=few, n_active_experts=few)):
        alike = max(1, config.n_experts) if parameter.part in EXPERT_PARTS else 1
        parts[parameter.part] += alike * parameter.size
    return parts
