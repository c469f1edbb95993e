"""Whether two configs describe the same model, however they are written."""

from __future__ import annotations

from typing import Any

import numpy as np

from groundup.config import GPTConfig


def differences(config: GPTConfig, back: GPTConfig) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which two models compute differently, with both values."""
    first, second = _effective(config), _effective(back)
    return {key: (first[key], second.get(key)) for key in first if first[key] != second.get(key)}


def _effective(config: GPTConfig) -> dict[str, Any]:
    """Return the fields that matter, each in one of the ways in which it can be written."""
    fields = dict(vars(config))
    for name in ("drop_rate", "attention_drop_rate", "window_pattern"):
        del fields[name]
    seen = [config.window_of(i) for i in range(config.n_layers)]
    length = config.context_length
    bound = [None if w is None or w >= length else w for w in seen]
    fields["window"] = bound if len(set(bound)) > 1 else bound[0]
    fields["query_pre_attn_scalar"] = config.query_pre_attn_scalar or config.head_dim
    rope = {name: fields.pop(name) for name in list(fields) if name.startswith("rope_")}
    if config.position == "rope":
        fields |= _effective_rope(config, rope, has_local=any(w is not None for w in seen))
    return {
        name: float(np.float32(value)) if isinstance(value, float) else value
        for name, value in fields.items()
    }


def _effective_rope(config: GPTConfig, rope: dict[str, Any], has_local: bool) -> dict[str, Any]:
    unscaled = config.rope_scaling == "none"
    used = {
        "none": ["rope_base", "rope_scaling"],
        "linear": ["rope_base", "rope_scaling", "rope_factor"],
        "llama3": list(rope),
    }[config.rope_scaling]
    same = config.rope_base if unscaled else "scaled"
    local = config.rope_local_base or same
    return {name: rope[name] for name in used} | {"rope_local_base": local if has_local else same}
