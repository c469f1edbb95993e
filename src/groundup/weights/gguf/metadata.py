"""A model's numbers in a GGUF file, and the `GPTConfig` they stand for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from groundup.base.errors import ConfigError, RunError
from groundup.config import GPTConfig
from groundup.weights.gguf.architectures import ARCHITECTURES, Architecture
from groundup.weights.gguf.keys import Metadata
from groundup.weights.gguf.rope import Factors, rope_fields, rope_metadata
from groundup.weights.gguf.windows import window_fields, window_metadata

Shapes = Mapping[str, tuple[int, ...]]

CAPS = {
    "attention_softcap": "attn_logit_softcapping",
    "logit_softcap": "final_logit_softcapping",
}
BIAS_PREFIX = "groundup."
"""A key of ours: "groundup.bias" is false where a model has no bias, and the file holds zeros."""
GELU = "groundup.feed_forward"
"""Another: "gelu" where a model has the exact one; llama.cpp computes it by tanh all the same."""


def read_config(
    architecture: str,
    metadata: Metadata,
    shapes: Shapes,
    factors: Factors,
    context: int | None = None,
) -> GPTConfig:
    """Return the config that llama.cpp would see.

    `shapes` are those of the file's tensors, and `factors` its tensors of rope's; `context` is the
    one that is wanted, where longrope leaves the choice. A number that is absent, impossible, or
    asks for what is not known here is a RunError.
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
    if fields["feed_forward"] == "gelu_tanh" and tells_exact_gelu(metadata.values):
        fields["feed_forward"] = "gelu"
    fields |= _heads(arch, metadata, fields) | _widths(arch, metadata)
    for key, (name, on, off) in arch.switches.items():
        fields[name] = on if metadata.switch(key) else off
    for name, key in CAPS.items():
        if name in arch.defaults:
            fields[name] = metadata.real(key, arch.defaults[name]) or arch.defaults[name]
    try:
        config = GPTConfig(**fields)
        if config.position == "rope":
            config = config.replace(**rope_fields(arch, metadata, config, factors, context))
        return config.replace(**window_fields(arch, metadata, config))
    except ConfigError as error:
        raise RunError(f"{metadata.path}: {error}; convert the model again") from None


def tells_exact_gelu(values: Mapping[str, Any]) -> bool:
    """Whether a file is ours and its model has the exact GELU."""
    told = values.get(GELU)
    return isinstance(told, str) and told == "gelu"


def _eps(arch: Architecture) -> str:
    kind = "" if arch.fixed["norm"] == "layernorm" else "rms_"
    return f"attention.layer_norm_{kind}epsilon"


def _biases(arch: Architecture, metadata: Metadata, shapes: Shapes) -> dict[str, bool]:
    if arch.biases:
        return {name: metadata.values.get(BIAS_PREFIX + name) is not False for name in arch.biases}
    return {
        "bias": "blk.0.attn_output.bias" in shapes and "blk.0.ffn_gate_inp.weight" not in shapes,
        "qkv_bias": any(f"blk.0.attn_{name}.bias" in shapes for name in ("q", "qkv")),
    }


def _heads(arch: Architecture, metadata: Metadata, fields: dict[str, Any]) -> dict[str, Any]:
    n_heads = metadata.whole("attention.head_count")
    head_dim = fields["emb_dim"] // max(n_heads, 1)
    if arch.free_head_dim:
        head_dim = metadata.whole("attention.key_length", head_dim)
    for key in ("attention.key_length", "attention.value_length", "rope.dimension_count"):
        width = metadata.whole(key, head_dim)
        fits = 0 < width < head_dim if arch.partial and key.startswith("rope.") else False
        if width != head_dim and not fits:
            raise metadata.error(
                key, f"{width}, but only that of a whole head, {head_dim}, is known"
            )
    found = {
        "n_heads": n_heads,
        "n_kv_heads": metadata.whole("attention.head_count_kv", n_heads),
        "head_dim": head_dim,
    }
    if width != head_dim:
        found["rope_fraction"] = _share(width, head_dim)
    if arch.widest:
        is_widest = fields["n_layers"] == arch.widest
        divisor = fields["emb_dim"] // max(n_heads, 1) if is_widest else head_dim
        found["query_pre_attn_scalar"] = float(divisor)
    return found


def _share(part: int, whole: int) -> float:
    """Return a fraction of `whole` that is `part` when rounded down."""
    share = part / whole
    return share if int(whole * share) == part else math.nextafter(share, 1.0)


def _widths(arch: Architecture, metadata: Metadata) -> dict[str, int]:
    width = metadata.whole("feed_forward_length")
    if not arch.experts:
        return {"ffn_dim": width}
    shared = metadata.whole("expert_shared_feed_forward_length", 0) if arch.shared else 0
    return {
        "shared_ffn_dim": shared,
        "ffn_dim": metadata.whole("expert_feed_forward_length", width),
        "n_experts": metadata.whole("expert_count", 0),
        "n_active_experts": metadata.whole("expert_used_count", 0),
    }


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
        **arch.said,
    }
    if arch.free_head_dim:
        found |= {
            "attention.key_length": config.head_dim,
            "attention.value_length": config.head_dim,
        }
    if config.position == "rope":
        found |= rope_metadata(arch, config)
    found |= window_metadata(arch, config)
    if config.n_experts:
        found |= {
            "expert_count": config.n_experts,
            "expert_used_count": config.n_active_experts,
            "expert_feed_forward_length": config.ffn_dim,
        }
    if config.shared_ffn_dim:
        found["expert_shared_feed_forward_length"] = config.shared_ffn_dim
    for key, (name, _, off) in arch.switches.items():
        found[key] = getattr(config, name) != off
    found |= {key: getattr(config, name) for name, key in CAPS.items() if getattr(config, name)}
    named = {f"{architecture}.{key}": value for key, value in found.items()}
    absent = [name for name in arch.biases if not getattr(config, name)]
    named |= dict.fromkeys([BIAS_PREFIX + name for name in absent], False)
    return named | ({GELU: "gelu"} if config.feed_forward == "gelu" else {})
