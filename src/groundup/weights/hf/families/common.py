"""What families have in common: aspects and defaults of Llama's kin."""

from __future__ import annotations

from typing import Any

from groundup.weights.hf.aspects import (
    GELU_TANH,
    SILU,
    Aspect,
    activation,
    alike,
    fixed,
    layers,
    numbers,
    only,
)
from groundup.weights.hf.settings import Settings

WHOLE = only(quantization_config=None)


def sizes(**others: str) -> Aspect:
    """Our fields under the names that most families have for them, and `others`."""
    usual = {
        "vocab_size": "vocab_size",
        "context_length": "max_position_embeddings",
        "emb_dim": "hidden_size",
        "n_heads": "num_attention_heads",
        "tie_embeddings": "tie_word_embeddings",
    }
    return numbers(**{**usual, **others})


KEYS = {"n_kv_heads": "num_key_value_heads", "head_dim": "head_dim"}
LLAMA = (
    layers("num_hidden_layers"),
    sizes(**KEYS, norm_eps="rms_norm_eps"),
    fixed(norm="rmsnorm", position="rope", bias=False),
    WHOLE,
)
BIASES = numbers(qkv_bias="attention_bias"), alike("bias", "attention_bias", "mlp_bias")
DENSE = numbers(ffn_dim="intermediate_size")
GATED = activation("hidden_act", swiglu=SILU, geglu=GELU_TANH)
DEFAULTS: dict[str, Any] = {
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "use_sliding_window": False,
}
QWEN: dict[str, Any] = {**DEFAULTS, "max_position_embeddings": 32768, "sliding_window": 4096}


def last_layers(settings: Settings, layer: int) -> bool:
    """Return whether `layer` is one of those from `max_window_layers` on."""
    first = settings["max_window_layers"]
    if type(first) is not int:
        raise settings.refusal("max_window_layers", "a number of layers")
    return layer >= first


def all_but_each(settings: Settings, layer: int) -> bool:
    """Return whether `layer` is not the last of a group of `sliding_window_pattern`."""
    every = settings["sliding_window_pattern"]
    if type(every) is not int or every < 1:
        raise settings.refusal("sliding_window_pattern", "1 or more")
    return bool((layer + 1) % every)
