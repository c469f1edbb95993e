"""Mixtures of experts."""

from __future__ import annotations

from groundup.weights.hf import names
from groundup.weights.hf.aspects import fixed, numbers, only, respelled, rope, window
from groundup.weights.hf.families.common import DEFAULTS, DENSE, GATED, LLAMA, QWEN
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
            numbers(n_active_experts="num_experts_per_tok", ffn_dim="moe_intermediate_size"),
            only(
                attention_bias=False, norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[]
            ),
        ),
    ),
}
