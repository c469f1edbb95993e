"""Exact parameter counts, in total and per part, and the storage they take."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from groundup.config import PARTS, GPTConfig, parameter_shapes

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
"""Bytes of one value in each number format (int8 without its scales)."""


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many parameters a model has, and by which convention they were counted."""

    convention: str
    parts: dict[str, int]

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
    return Count(convention=convention(config), parts=parts)


def block_parts(config: GPTConfig) -> dict[str, int]:
    """Return the parameters of one transformer block, per part."""
    one, two = (_parts(config.replace(n_layers=n)) for n in (1, 2))
    return {part: two[part] - one[part] for part in PARTS}


def convention(config: GPTConfig) -> str:
    """Name what a count of `config` includes: the output head, and which biases."""
    tied = "tied" if config.tie_embeddings else "untied"
    if config.tie_embeddings and config.qkv_bias:
        return "tied, with query-key-value bias, as OpenAI's GPT-2"
    return f"{tied}, {'with' if config.qkv_bias else 'without'} query-key-value bias"


def conventions(config: GPTConfig) -> list[Count]:
    """Count the same shape by the three conventions in which GPT-2 sizes are quoted."""
    choices = ((False, False), (True, False), (True, True))
    return [
        count_parameters(config.replace(tie_embeddings=tied, qkv_bias=bias))
        for tied, bias in choices
    ]


def _parts(config: GPTConfig) -> Counter[str]:
    parts: Counter[str] = Counter()
    for parameter in parameter_shapes(config):
        parts[parameter.part] += parameter.size
    return parts
