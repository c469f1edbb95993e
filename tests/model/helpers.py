"""Models whose every tensor is random: fresh norms and biases are 1 and 0 and hide swaps."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from groundup import GPT, GPTConfig

SHAPES: list[dict[str, Any]] = [
    {"emb_dim": 32, "n_heads": 4, "n_layers": 2, "context_length": 16, "vocab_size": 61},
    {"emb_dim": 48, "n_heads": 3, "n_layers": 3, "context_length": 24, "vocab_size": 101},
    {"emb_dim": 40, "n_heads": 5, "n_layers": 1, "context_length": 9, "vocab_size": 17},
    {"emb_dim": 64, "n_heads": 1, "n_layers": 4, "context_length": 33, "vocab_size": 257},
]

_BASE: dict[str, Any] = {
    "vocab_size": 67,
    "context_length": 24,
    "emb_dim": 32,
    "n_heads": 4,
    "n_layers": 3,
    "ffn_dim": 40,
}
_LLAMA: dict[str, Any] = _BASE | {
    "n_kv_heads": 2,
    "norm": "rmsnorm",
    "position": "rope",
    "feed_forward": "swiglu",
    "bias": False,
}
_GEMMA: dict[str, Any] = _LLAMA | {
    "head_dim": 6,
    "norm": "zero_centered_rmsnorm",
    "norm_order": "sandwich",
    "feed_forward": "geglu",
    "embedding_scale": True,
    "query_pre_attn_scalar": 9.0,
    "window": 5,
    "tie_embeddings": True,
}
_YARN = {
    "rope_scaling": "yarn",
    "rope_factor": 4.0,
    "rope_original_context": 12,
    "rope_low_freq_factor": 0.2,
    "rope_high_freq_factor": 3.0,
}
_LLAMA3 = {"rope_scaling": "llama3", "rope_factor": 4.0, "rope_original_context": 12}
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": _BASE | {"qkv_bias": True, "tie_embeddings": True},
    "gpt2 without bias": _BASE | {"bias": False, "feed_forward": "gelu"},
    "llama": _LLAMA | _LLAMA3,
    "linear rope": _LLAMA | {"rope_scaling": "linear", "rope_factor": 3.0},
    "mistral": _LLAMA | {"window": 5},
    "qwen2": _LLAMA | {"qkv_bias": True, "window": 4, "window_pattern": "GGL"},
    "qwen3": _LLAMA | {"qk_norm": "head", "head_dim": 12},
    "gemma2": _GEMMA | {"window_pattern": "LG", "attention_softcap": 5.0, "logit_softcap": 3.0},
    "gemma3": _GEMMA | {"qk_norm": "head", "window_pattern": "LLG", "rope_local_base": 100.0},
    "olmo2": _LLAMA | {"norm_order": "post", "qk_norm": "width"},
    "olmo3": _LLAMA
    | _YARN
    | {"norm_order": "post", "window": 5, "window_pattern": "LG", "rope_local_base": 10000.0},
    "smollm3": _LLAMA | _YARN | {"rope_pattern": "RNR", "rope_attention_factor": 1.5},
    "phi3": _LLAMA
    | {
        "rope_scaling": "longrope",
        "rope_fraction": 0.75,
        "rope_factors": (1.02, 1.5, 7.9),
        "rope_attention_factor": 1.2,
    },
    "gpt_neox": _BASE | {"position": "rope", "rope_fraction": 0.25, "norm_order": "parallel"},
    "cohere2": _LLAMA | {"norm": "layernorm", "norm_order": "parallel_shared"},
    "opt": _BASE | {"feed_forward": "relu"},
    "qwen2_moe": _LLAMA
    | {"n_experts": 4, "n_active_experts": 2, "shared_ffn_dim": 24, "norm_expert_scores": False},
    "gpt_oss": _LLAMA
    | {"n_experts": 3, "n_active_experts": 2, "feed_forward": "clamped_swiglu", "bias": True}
    | {"router_bias": True, "attention_sinks": True, "window": 5, "window_pattern": "LG"},
    "mixtral": _LLAMA | {"n_experts": 4, "n_active_experts": 2},
}
"""A small model of every family, each with all of its features on."""


@torch.no_grad()
def randomise(model: nn.Module, seed: int = 0, scale: float = 0.2) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)


def random_gpt(seed: int = 0, scale: float = 0.2, **config: Any) -> GPT:
    model = GPT(GPTConfig(**config)).eval()
    randomise(model, seed, scale)
    return model
