"""Whether two configs describe the same model, however they are written.

A format can express a model where its own config, read back, is equivalent to ours.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from groundup.config import GPTConfig

_DEFAULTS = {field.name: field.default for field in dataclasses.fields(GPTConfig)}
_BLENDED = {"rope_low_freq_factor", "rope_high_freq_factor", "rope_original_context"}
_YARN = {"rope_attention_factor", "rope_truncate"}
_LONG = {"rope_factors"}
_WITHOUT = {
    "none": {"rope_factor", *_BLENDED, *_YARN, *_LONG},
    "linear": {*_BLENDED, *_YARN, *_LONG},
    "llama3": {*_YARN, *_LONG},
    "yarn": _LONG,
    "longrope": {"rope_factor", "rope_truncate", *_BLENDED},
}
"""The fields that each way of scaling rotations does not look at."""


def differences(config: GPTConfig, other: GPTConfig) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which two models compute differently, with both values."""
    first, second = canonical(config), canonical(other)
    return {name: (first[name], second[name]) for name in first if first[name] != second[name]}


def canonical(config: GPTConfig) -> dict[str, Any]:
    """Return the fields of `config` in one way of writing them; those without effect at defaults.

    Numbers are rounded to 32 bits, in which GGUF files hold them and models compute.
    """
    letters = "".join("G" if config.window_of(i) is None else "L" for i in range(config.n_layers))
    if config.rope_scaling == "linear" and config.rope_factor == 1:
        config = config.replace(rope_scaling="none")
    if config.rope_scaling == "longrope":
        config = config.replace(rope_attention_factor=config.rope_attention_factor or 1.0)
    turning = "".join("R" if config.is_rotated(i) else "N" for i in range(config.n_layers))
    fields = {
        **vars(config),
        "window_pattern": shortest_pattern(letters),
        "rope_pattern": shortest_pattern(turning),
        "rope_fraction": config.rope_dim / config.head_dim,
        "query_pre_attn_scalar": config.query_pre_attn_scalar or float(config.head_dim),
        **{name: _DEFAULTS[name] for name in _without_effect(config, "L" in letters)},
    }
    return {name: _rounded(value) for name, value in fields.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_rounded, value))
    return float(np.float32(value)) if isinstance(value, float) else value


def _without_effect(config: GPTConfig, has_windows: bool) -> set[str]:
    """Return the fields of `config` that change no logit."""
    scaling = config.rope_scaling
    without = {"drop_rate", "attention_drop_rate"}
    without |= _WITHOUT[scaling]
    if config.position == "learned":
        without |= {"rope_base", "rope_local_base", "rope_scaling", *_WITHOUT["none"]}
        without |= {"rope_fraction", "rope_pattern"}
    if not config.n_experts:
        without.add("norm_expert_scores")
    if not has_windows or (scaling == "none" and config.rope_local_base == config.rope_base):
        without.add("rope_local_base")
    # A window as large as the context hides nothing.
    if not has_windows or (config.window or 0) >= config.context_length:
        without.add("window")
    if "window" in without and ("rope_local_base" in without or not config.rope_local_base):
        without.add("window_pattern")
    return without


def shortest_pattern(letters: str) -> str:
    """Return the shortest beginning that, repeated, gives `letters`."""
    sizes = range(1, len(letters) + 1)
    return next(
        letters[:n] for n in sizes if letters == (letters[:n] * len(letters))[: len(letters)]
    )
