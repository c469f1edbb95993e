"""Mixtures of experts."""

from __future__ import annotations

from groundup.weights.hf import names
from groundup.weights.hf.aspects import (
    fixed,
    layer_windows,
    numbers,
    only,
    respelled,
    rope,
    window,
)
from groundup.weights.hf.families.common import DEFAULTS, DENSE, GATED, LLAMA, QWEN, last_layers
from groundup.weights.hf.family import Family

MIXTURES: dict[str, Family] = {
    "mixtral": Family(
        architecture="MixtralForCausalLM",
        classifier="MixtralForSequenceClassification",
        names=names.MIXTRAL,
        defaults={
            **DEFAULTS,
            "max_position_embeddings": 131072,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1e6,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
        },
        aspects=(
            *LLAMA,
            DENSE,
            GATED,
            rope(),
            window(),
            respelled("n_experts", "num_local_experts", "num_experts"),
            numbers(n_active_experts="num_experts_per_tok"),
        ),
    ),
    "qwen3_moe": Family(
        architecture="Qwen3MoeForCausalLM",
        classifier="Qwen3MoeForSequenceClassification",
        names=names.QWEN_MOE,
        defaults={
            **QWEN,
            "num_key_value_heads": 4,
            "num_experts": 128,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 768,
            "decoder_sparse_step": 1,
            "norm_topk_prob": False,
        },
        aspects=(
            *LLAMA,
            GATED,
            rope(),
            window("use_sliding_window"),
            fixed(qk_norm="head"),
            respelled("n_experts", "num_experts", "num_local_experts"),
            numbers(
                n_active_experts="num_experts_per_tok",
                ffn_dim="moe_intermediate_size",
                norm_expert_scores="norm_topk_prob",
            ),
            only(attention_bias=False, decoder_sparse_step=1, mlp_only_layers=[]),
        ),
    ),
    "qwen2_moe": Family(
        architecture="Qwen2MoeForCausalLM",
        classifier="Qwen2MoeForSequenceClassification",
        names=names.QWEN_MOE,
        defaults={
            **QWEN,
            "num_key_value_heads": 16,
            "max_window_layers": 28,
            "num_experts": 60,
            "num_experts_per_tok": 4,
            "moe_intermediate_size": 1408,
            "shared_expert_intermediate_size": 5632,
            "decoder_sparse_step": 1,
            "norm_topk_prob": False,
            "qkv_bias": True,
        },
        aspects=(
            *LLAMA,
            GATED,
            rope(),
            layer_windows(last_layers, "use_sliding_window"),
            numbers(
                qkv_bias="qkv_bias",
                n_experts="num_experts",
                n_active_experts="num_experts_per_tok",
                ffn_dim="moe_intermediate_size",
                shared_ffn_dim="shared_expert_intermediate_size",
                norm_expert_scores="norm_topk_prob",
            ),
            only(decoder_sparse_step=1, mlp_only_layers=[]),
        ),
    ),
}
