"""Layers with windows, as llama.cpp stores them."""

from __future__ import annotations

from typing import Any

import numpy as np

from groundup.config import GPTConfig
from groundup.weights.equivalence import shortest_pattern
from groundup.weights.gguf.architectures import Architecture
from groundup.weights.gguf.keys import Metadata, shown

WINDOW, PATTERN = "attention.sliding_window", "attention.sliding_window_pattern"
LOCAL_BASE = "rope.freq_base_swa"


def window_fields(arch: Architecture, metadata: Metadata, config: GPTConfig) -> dict[str, Any]:
    """Return our fields of windows; `config` has those of rotations already."""
    window = metadata.whole(WINDOW, arch.defaults.get("window", 0)) or None
    if not arch.local_every:
        return {"window": window}
    pattern = metadata.anything(PATTERN, arch.local_every)
    base = metadata.real(LOCAL_BASE, arch.local_base or config.rope_base)
    if window is None and arch.always_local:
        raise metadata.error(WINDOW, "is absent from the metadata")
    if window is None:
        return {}
    is_scaled = config.rope_scaling != "none" and not arch.local_scaled
    if arch.local_scaled and config.rope_scaling != "none" and base != config.rope_base:
        raise metadata.error(LOCAL_BASE, "scaled by itself, which is not known")
    same = base == config.rope_base and not is_scaled
    letters = _letters(metadata, pattern, config.n_layers)
    turning = letters.replace("L", "R").replace("G", "N")
    return {
        "window": window,
        "window_pattern": letters,
        "rope_local_base": 0.0 if same else base,
    } | ({"rope_pattern": turning} if arch.local_turns else {})


def _letters(metadata: Metadata, pattern: Any, n_layers: int) -> str:
    """Return llama.cpp's pattern, a period or a list of all layers, as letters."""
    if type(pattern) is int and 0 <= pattern <= n_layers:
        return "L" if pattern == 0 else "L" * (pattern - 1) + "G"
    if type(pattern) is int and pattern > n_layers:
        return "L"
    if not isinstance(pattern, list | np.ndarray) or len(pattern) < n_layers:
        raise metadata.error(PATTERN, f"{shown(pattern)} is not known")
    return shortest_pattern("".join("L" if local else "G" for local in pattern[:n_layers]))


def window_metadata(arch: Architecture, config: GPTConfig) -> dict[str, Any]:
    """Return the metadata of windows, where an architecture has any."""
    layers = range(config.n_layers)
    local = [config.window_of(i) is not None for i in layers]
    window = config.window
    if arch.local_turns:
        # A window as large as the context hides nothing: it says only which layers turn.
        window = config.window if any(local) else config.context_length
        local = [config.is_rotated(i) for i in layers]
        window = window if any(local) else None
    if not arch.local_every or window is None:
        return {}
    found: dict[str, Any] = {WINDOW: window}
    if arch.local_base is not None:
        found[LOCAL_BASE] = config.rope_local_base or config.rope_base
    if local != [(i + 1) % arch.local_every != 0 for i in layers]:
        found[PATTERN] = local
    return found
