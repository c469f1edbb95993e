"""Rope's scaling for long contexts, as llama.cpp stores it.

Llama 3's is written out as one factor for each pair, by which its rotation is slowed; the numbers
that it was made from are not in the file. They are found again by trying: the factors themselves
are the proof.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from groundup.config import GPTConfig
from groundup.model.positions import frequencies, scaled

TURNS = {"rope_low_freq_factor": 1.0, "rope_high_freq_factor": 4.0}
"""Those of every Llama 3 that was published."""
USUAL_CONTEXT = 8192


def factors_of(config: GPTConfig) -> list[float]:
    """Return by how much each pair's rotation is slowed."""
    plain = frequencies(config.rope_dim, config.rope_base)
    return [fast / slow for fast, slow in zip(plain, scaled(config).radians, strict=True)]


def llama3_fields(
    config: GPTConfig, factors: Sequence[float], original: int | None
) -> dict[str, Any] | None:
    """Return the fields of `GPTConfig` that give these factors, None where there are none.

    `original` is the context before the extension, where the file names it.
    """
    if len(factors) != config.rope_dim // 2:
        return None
    for context in _contexts(original):
        fields: dict[str, Any] = {
            "rope_scaling": "llama3",
            "rope_factor": float(max(factors)),
            "rope_original_context": context,
            **TURNS,
        }
        if fields["rope_factor"] >= 1 and _equal(factors_of(config.replace(**fields)), factors):
            return fields
    return None


def _contexts(original: int | None) -> Iterator[int]:
    if original:
        yield original
    yield USUAL_CONTEXT
    yield from (1 << power for power in range(4, 21))


def _equal(first: Sequence[float], second: Sequence[float]) -> bool:
    return np.allclose(first, second, rtol=1e-5, atol=0)
