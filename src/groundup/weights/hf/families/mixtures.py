"""Mixtures of experts."""

from __future__ import annotations

from groundup.weights.hf import names
from groundup.weights.hf.aspects import fixed, numbers, only, packed, respelled
from groundup.weights.hf.families.common import (
    DEFAULTS,
    DENSE,
    GATED,
    LLAMA,
    QWEN,
    all_but_each,
    last_layers,
)
from groundup.weights.hf.family import Family
from groundup.weights.hf.rotations import rope
from groundup.weights.hf.settings import Settings
from groundup.weights.hf.windows import layer_windows, window

_YARN = {
    "rope_type": "yarn",
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 4096,
}


def _every_other_of_the_first(settings: Settings, layer: int) -> bool:
    return layer % 2 == 0 and not last_layers(settings, layer)


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
            layer_windows(_every_other_of_the_first, "use_sliding_window"),
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
    "gpt_oss": Family(
        architecture="GptOssForCausalLM",
        classifier="GptOssForSequenceClassification",
        names=names.GPT_OSS,
        defaults={
            **DEFAULTS,
            "max_position_embeddings": 131072,
            "num_key_value_heads": 8,
            "head_dim": 64,
            "rms_norm_eps": 1e-5,
            "rope_theta": 150000.0,
            "sliding_window": 128,
            "sliding_window_pattern": 2,
            "num_local_experts": 128,
            "num_experts_per_tok": 4,
            "attention_bias": True,
            "swiglu_alpha": 1.702,
            "swiglu_limit": 7.0,
        },
        aspects=(
            *LLAMA[:-1],
            rope(otherwise=_YARN),
            layer_windows(all_but_each),
            numbers(
                qkv_bias="attention_bias",
                n_experts="num_local_experts",
                n_active_experts="num_experts_per_tok",
                ffn_dim="intermediate_size",
            ),
            fixed(bias=True, router_bias=True, attention_sinks=True, feed_forward="clamped_swiglu"),
            only(attention_bias=True, swiglu_alpha=1.702, swiglu_limit=7.0, hidden_act="silu"),
            packed("mxfp4"),
        ),
    ),
}
