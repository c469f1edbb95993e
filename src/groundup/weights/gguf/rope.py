"""Rotations and what slows them for long contexts, as llama.cpp stores them.

Llama 3's scaling is written out as one factor for each pair, by which its rotation is slowed; the
numbers that it was made from are not in the file. They are found again by trying: the factors
themselves are the proof. Longrope's are written out twice, for short contexts and for long ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from groundup.base.errors import RunError
from groundup.config import GPTConfig
from groundup.model.positions import frequencies, scaled
from groundup.weights.gguf.architectures import Architecture
from groundup.weights.gguf.keys import Metadata, shown
from groundup.weights.gguf.layout import LONG_FACTORS, ROPE_FACTORS, SHORT_FACTORS
from groundup.weights.longrope import longrope_fields

TURNS = {"rope_low_freq_factor": 1.0, "rope_high_freq_factor": 4.0}
"""Those of every Llama 3 that was published."""
USUAL_CONTEXT = 8192
KNOWN = ("none", "linear", "yarn", "longrope")
Factors = Mapping[str, Sequence[float]]
"""By how much a file slows each pair, by the names of its tensors."""


def rope_fields(
    arch: Architecture,
    metadata: Metadata,
    config: GPTConfig,
    factors: Factors,
    context: int | None = None,
) -> dict[str, Any]:
    """Return our fields of rotations; `context` is the one that is wanted, if longrope has two."""
    base = metadata.real("rope.freq_base", 10000.0)
    kind = metadata.anything("rope.scaling.type", "linear")
    if not isinstance(kind, str) or kind not in KNOWN:
        known = ", ".join(KNOWN[1:])
        raise metadata.error("rope.scaling.type", f"{shown(kind)} is not known, only {known}")
    factor = metadata.real("rope.scaling.factor", 0.0) or metadata.real("rope.scale_linear", 0.0)
    factor = 1.0 if kind == "none" else factor or 1.0
    original = metadata.whole("rope.scaling.original_context_length", 0)
    loudness = metadata.real("rope.scaling.attn_factor", 1.0)
    sections = np.atleast_1d(metadata.anything("rope.dimension_sections", 0)).tolist()
    if any(section != 0 for section in sections):
        raise metadata.error("rope.dimension_sections", "positions of images are not known")
    if kind == "yarn":
        return {"rope_base": base, **_yarn(arch, metadata, config, factor, original, loudness)}
    if kind == "longrope" or factors.keys() & {SHORT_FACTORS, LONG_FACTORS}:
        lists = _longrope_lists(arch, metadata, factors, factor, loudness)
        most = config.context_length
        original = metadata.whole("rope.scaling.original_context_length", most)
        found = longrope_fields(*lists, original, most, context, metadata.path)
        return {"rope_base": base, "rope_attention_factor": loudness, **found}
    if loudness != 1:
        raise metadata.error("rope.scaling.attn_factor", f"{loudness}, which only yarn has")
    if ROPE_FACTORS not in factors or not arch.llama3:
        return {"rope_base": base} | (
            {"rope_scaling": "linear", "rope_factor": factor} if factor != 1 else {}
        )
    llama3 = llama3_fields(config.replace(rope_base=base), factors[ROPE_FACTORS], original)
    if llama3 is None or factor != 1:
        raise RunError(
            f"{metadata.path}: rope_freqs.weight holds factors that llama3's scaling does not "
            "give; only that is known"
        )
    return {"rope_base": base, **llama3}


def _longrope_lists(
    arch: Architecture, metadata: Metadata, factors: Factors, factor: float, loudness: float
) -> tuple[Sequence[float], Sequence[float]]:
    """Return the factors for short contexts and those for long ones."""
    if not arch.longrope or not factors.keys() >= {SHORT_FACTORS, LONG_FACTORS}:
        needed = f"needs {SHORT_FACTORS} and {LONG_FACTORS}, and the architecture phi3"
        raise metadata.error("rope.scaling.type", f"'longrope' {needed}")
    if factor != 1:
        raise metadata.error("rope.scaling.factor", f"{factor} beside longrope's own factors")
    if not loudness > 0:
        raise metadata.error("rope.scaling.attn_factor", f"{loudness}, expected above 0")
    return factors[SHORT_FACTORS], factors[LONG_FACTORS]


def _yarn(
    arch: Architecture,
    metadata: Metadata,
    config: GPTConfig,
    factor: float,
    original: int,
    loudness: float,
) -> dict[str, Any]:
    if not arch.yarn:
        raise metadata.error("rope.scaling.type", "'yarn' is not known beside windows")
    if not factor >= 1:
        raise metadata.error("rope.scaling.factor", f"{factor}, expected 1 or more")
    if (share := metadata.real("rope.scaling.yarn_ext_factor", 1.0)) != 1:
        raise metadata.error("rope.scaling.yarn_ext_factor", f"{share}, only 1 is known")
    told = 0.0 if loudness == 1 else loudness * _usual(factor)
    return {
        "rope_scaling": "yarn",
        "rope_factor": factor,
        "rope_original_context": original or config.context_length,
        "rope_low_freq_factor": metadata.real("rope.scaling.yarn_beta_slow", 1.0),
        "rope_high_freq_factor": metadata.real("rope.scaling.yarn_beta_fast", 32.0),
        "rope_attention_factor": metadata.real("rope.scaling.yarn_attn_factor", told),
    }


def _usual(factor: float) -> float:
    """Return what YaRN multiplies turned queries and keys by; llama.cpp does so by itself."""
    return 0.1 * math.log(factor) + 1


def rope_metadata(arch: Architecture, config: GPTConfig) -> dict[str, Any]:
    """Return the metadata of rotations, without what an architecture does not know."""
    found: dict[str, Any] = {
        "rope.freq_base": config.rope_base,
        "rope.dimension_count": config.rope_dim if arch.partial else config.head_dim,
    }
    if config.rope_scaling == "linear":
        found |= {"rope.scaling.type": "linear", "rope.scaling.factor": config.rope_factor}
    if config.rope_scaling == "yarn" and arch.yarn:
        # Its betas are left out: none of these architectures looks at them.
        found |= {"rope.scaling.type": "yarn", "rope.scaling.factor": config.rope_factor}
        if told := config.rope_attention_factor:
            # The first is what llama.cpp reads; the second is the number itself.
            found["rope.scaling.attn_factor"] = told / _usual(config.rope_factor)
            found["rope.scaling.yarn_attn_factor"] = told
    if config.rope_scaling in ("llama3", "yarn"):  # of llama3 the factors tell the rest
        found["rope.scaling.original_context_length"] = config.rope_original_context
    if config.rope_scaling == "longrope" and arch.longrope:
        found |= {
            "rope.scaling.type": "longrope",
            "rope.scaling.attn_factor": config.rope_attention_factor or 1.0,
            "rope.scaling.original_context_length": config.context_length,
        }
    return found


def factor_tensors(config: GPTConfig) -> Factors:
    """Return the tensors of factors that a file of `config` has."""
    match config.rope_scaling:
        case "llama3":
            return {ROPE_FACTORS: factors_of(config)}
        case "longrope":
            return dict.fromkeys((SHORT_FACTORS, LONG_FACTORS), config.rope_factors)
    return {}


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
