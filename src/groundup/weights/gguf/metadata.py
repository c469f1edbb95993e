"""The metadata of a GGUF file that describe a model, and the `GPTConfig` they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from groundup.base.errors import ConfigError, RunError
from groundup.config import GPTConfig
from groundup.weights.equivalence import shortest_pattern
from groundup.weights.gguf.architectures import ARCHITECTURES, Architecture
from groundup.weights.gguf.rope import llama3_fields

Shapes = Mapping[str, tuple[int, ...]]

CAPS = {
    "attention_softcap": "attn_logit_softcapping",
    "logit_softcap": "final_logit_softcapping",
}
IGNORED_KEYS = ("vocab_size", "tensor_data_layout")
"""The shapes of the tensors say the same, and count."""

BIAS_PREFIX = "groundup."
"""A key of ours: "groundup.bias" is false where a model has no bias, and the file holds zeros."""


class Metadata:
    """The metadata of one architecture, read key by key; it remembers which were read."""

    def __init__(self, path: Path, architecture: str, metadata: Mapping[str, Any]) -> None:
        self.path, self.values = path, metadata
        self.start = f"{architecture}."
        self.asked: set[str] = set()

    def whole(self, key: str, default: int | None = None) -> int:
        """Return a whole number from 0 on; absent without a default, it is a RunError."""
        value = self._value(key, default)
        if type(value) is not int or value < 0:
            raise self.error(key, f"{_shown(value)}, expected one whole number")
        return value

    def real(self, key: str, default: float | None = None) -> float:
        """Return a number, likewise."""
        value = self._value(key, default)
        if type(value) not in (int, float):
            raise self.error(key, f"{_shown(value)}, expected a number")
        return float(value)

    def anything(self, key: str, default: Any) -> Any:
        """Return a value of any type."""
        return self._value(key, default)

    def unread(self) -> list[str]:
        """Return the keys of this architecture that nothing has read."""
        known = self.asked | {self.start + key for key in IGNORED_KEYS}
        return sorted({key for key in self.values if key.startswith(self.start)} - known)

    def _value(self, key: str, default: Any) -> Any:
        self.asked.add(self.start + key)
        value = self.values.get(self.start + key, default)
        if value is None:
            raise self.error(key, "is absent from the metadata")
        return value

    def error(self, key: str, why: str) -> RunError:
        """Return an error that names the file and the key."""
        return RunError(f"{self.path}: {self.start}{key}: {why}; convert the model again")


def _shown(value: Any) -> str:
    return "a list" if isinstance(value, list | np.ndarray) else repr(value)[:60]


def read_config(
    architecture: str, metadata: Metadata, shapes: Shapes, factors: Sequence[float] | None
) -> GPTConfig:
    """Return the config that llama.cpp would see.

    `shapes` are those of the file's tensors; `factors` are rope's, where it has them. A number that
    is absent, impossible, or asks for what is not known here is a RunError.
    """
    arch = ARCHITECTURES[architecture]
    if "token_embd.weight" not in shapes:
        raise RunError(f"{metadata.path}: token_embd.weight is missing; convert the model again")
    fields: dict[str, Any] = {
        "vocab_size": shapes["token_embd.weight"][0],
        "context_length": metadata.whole("context_length"),
        "emb_dim": metadata.whole("embedding_length"),
        "n_layers": metadata.whole("block_count"),
        "norm_eps": metadata.real(_eps(arch)),
        "tie_embeddings": "output.weight" not in shapes,
        **_biases(arch, metadata, shapes),
        **arch.fixed,
    }
    fields |= _heads(arch, metadata, fields) | _widths(arch, metadata)
    for name, key in CAPS.items():
        if name in arch.defaults:
            fields[name] = metadata.real(key, arch.defaults[name]) or arch.defaults[name]
    try:
        config = GPTConfig(**fields)
        if config.position == "rope":
            config = config.replace(**_rope(arch, metadata, config, factors))
        return config.replace(**_windows(arch, metadata, config))
    except ConfigError as error:
        raise RunError(f"{metadata.path}: {error}; convert the model again") from None


def _eps(arch: Architecture) -> str:
    kind = "" if arch.fixed["norm"] == "layernorm" else "rms_"
    return f"attention.layer_norm_{kind}epsilon"


def _biases(arch: Architecture, metadata: Metadata, shapes: Shapes) -> dict[str, bool]:
    if arch.biases:
        names = ("bias", "qkv_bias")
        return {name: metadata.values.get(BIAS_PREFIX + name) is not False for name in names}
    return {
        "bias": "blk.0.attn_output.bias" in shapes and "blk.0.ffn_gate_inp.weight" not in shapes,
        "qkv_bias": "blk.0.attn_q.bias" in shapes,
    }


def _heads(arch: Architecture, metadata: Metadata, fields: dict[str, Any]) -> dict[str, Any]:
    n_heads = metadata.whole("attention.head_count")
    head_dim = fields["emb_dim"] // max(n_heads, 1)
    if arch.free_head_dim:
        head_dim = metadata.whole("attention.key_length", head_dim)
    for key in ("attention.key_length", "attention.value_length", "rope.dimension_count"):
        if (width := metadata.whole(key, head_dim)) != head_dim:
            raise metadata.error(
                key, f"{width}, but only that of a whole head, {head_dim}, is known"
            )
    found = {
        "n_heads": n_heads,
        "n_kv_heads": metadata.whole("attention.head_count_kv", n_heads),
        "head_dim": head_dim,
    }
    if arch.widest:
        is_widest = fields["n_layers"] == arch.widest
        divisor = fields["emb_dim"] // max(n_heads, 1) if is_widest else head_dim
        found["query_pre_attn_scalar"] = float(divisor)
    return found


def _widths(arch: Architecture, metadata: Metadata) -> dict[str, int]:
    width = metadata.whole("feed_forward_length")
    if not arch.experts:
        return {"ffn_dim": width}
    return {
        "ffn_dim": metadata.whole("expert_feed_forward_length", width),
        "n_experts": metadata.whole("expert_count", 0),
        "n_active_experts": metadata.whole("expert_used_count", 0),
    }


def _rope(
    arch: Architecture, metadata: Metadata, config: GPTConfig, factors: Sequence[float] | None
) -> dict[str, Any]:
    base = metadata.real("rope.freq_base", 10000.0)
    kind = metadata.anything("rope.scaling.type", "linear")
    factor = metadata.real("rope.scaling.factor", 0.0) or metadata.real("rope.scale_linear", 0.0)
    factor = 1.0 if kind == "none" else factor or 1.0
    original = metadata.whole("rope.scaling.original_context_length", 0)
    if kind not in ("none", "linear"):
        raise metadata.error("rope.scaling.type", f"{_shown(kind)} is not known, only linear")
    if factors is None or not arch.llama3:
        return {"rope_base": base} | (
            {"rope_scaling": "linear", "rope_factor": factor} if factor != 1 else {}
        )
    found = llama3_fields(config.replace(rope_base=base), factors, original)
    if found is None or factor != 1:
        raise RunError(
            f"{metadata.path}: rope_freqs.weight holds factors that llama3's scaling does not "
            "give; only that is known"
        )
    return {"rope_base": base, **found}


def _windows(arch: Architecture, metadata: Metadata, config: GPTConfig) -> dict[str, Any]:
    window = metadata.whole("attention.sliding_window", arch.defaults.get("window", 0)) or None
    if not arch.local_every:
        return {"window": window}
    pattern = metadata.anything("attention.sliding_window_pattern", arch.local_every)
    base = metadata.real("rope.freq_base_swa", arch.local_base or config.rope_base)
    if window is None:
        return {}
    is_scaled = config.rope_scaling != "none" and not arch.local_scaled
    if arch.local_scaled and config.rope_scaling != "none" and base != config.rope_base:
        raise metadata.error("rope.freq_base_swa", "scaled by itself, which is not known")
    same = base == config.rope_base and not is_scaled
    return {
        "window": window,
        "window_pattern": _letters(metadata, pattern, config.n_layers),
        "rope_local_base": 0.0 if same else base,
    }


def _letters(metadata: Metadata, pattern: Any, n_layers: int) -> str:
    """Return llama.cpp's pattern, a period or a list of all layers, as letters."""
    if type(pattern) is int and 0 <= pattern <= n_layers:
        return "L" if pattern == 0 else "L" * (pattern - 1) + "G"
    if type(pattern) is int and pattern > n_layers:
        return "L"
    if not isinstance(pattern, list | np.ndarray) or len(pattern) < n_layers:
        raise metadata.error("attention.sliding_window_pattern", f"{_shown(pattern)} is not known")
    return shortest_pattern("".join("L" if local else "G" for local in pattern[:n_layers]))


def metadata_of(architecture: str, config: GPTConfig) -> dict[str, Any]:
    """Return the metadata that tell llama.cpp of a model, as far as it can be told."""
    arch = ARCHITECTURES[architecture]
    found: dict[str, Any] = {
        "vocab_size": config.vocab_size,
        "context_length": config.context_length,
        "embedding_length": config.emb_dim,
        "block_count": config.n_layers,
        "feed_forward_length": config.ffn_dim,
        "attention.head_count": config.n_heads,
        "attention.head_count_kv": config.n_kv_heads,
        _eps(arch): config.norm_eps,
    }
    if arch.free_head_dim:
        found |= {
            "attention.key_length": config.head_dim,
            "attention.value_length": config.head_dim,
        }
    if config.position == "rope":
        found |= _rope_metadata(config)
    if arch.local_every and config.window is not None:
        found |= _window_metadata(arch, config)
    if config.n_experts:
        found |= {
            "expert_count": config.n_experts,
            "expert_used_count": config.n_active_experts,
            "expert_feed_forward_length": config.ffn_dim,
        }
    found |= {key: getattr(config, name) for name, key in CAPS.items() if getattr(config, name)}
    named = {f"{architecture}.{key}": value for key, value in found.items()}
    if arch.biases:
        absent = [name for name in ("bias", "qkv_bias") if not getattr(config, name)]
        named |= dict.fromkeys([BIAS_PREFIX + name for name in absent], False)
    return named


def _rope_metadata(config: GPTConfig) -> dict[str, Any]:
    found: dict[str, Any] = {
        "rope.freq_base": config.rope_base,
        "rope.dimension_count": config.head_dim,
    }
    if config.rope_scaling == "linear":
        found |= {"rope.scaling.type": "linear", "rope.scaling.factor": config.rope_factor}
    if config.rope_scaling == "llama3":  # the factors tell the rest
        found["rope.scaling.original_context_length"] = config.rope_original_context
    return found


def _window_metadata(arch: Architecture, config: GPTConfig) -> dict[str, Any]:
    local = [config.window_of(i) is not None for i in range(config.n_layers)]
    usual = [(i + 1) % arch.local_every != 0 for i in range(config.n_layers)]
    return {
        "attention.sliding_window": config.window,
        "rope.freq_base_swa": config.rope_local_base or config.rope_base,
    } | ({} if local == usual else {"attention.sliding_window_pattern": local})
