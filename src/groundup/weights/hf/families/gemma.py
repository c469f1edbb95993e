"""Gemma: norms around each step, embeddings scaled, bounded scores."""

from __future__ import annotations

from typing import Any

from groundup.weights.hf import names
from groundup.weights.hf.aspects import (
    GELU_TANH,
    SILU,
    activation,
    bounds,
    fixed,
    only,
    query_scale,
    whole_heads,
)
from groundup.weights.hf.families.common import DEFAULTS, DENSE, LLAMA, all_but_each
from groundup.weights.hf.family import Family
from groundup.weights.hf.rotations import rope
from groundup.weights.hf.windows import layer_windows

_GEMMA = (
    *LLAMA,
    DENSE,
    fixed(norm="zero_centered_rmsnorm", norm_order="sandwich", embedding_scale=True),
    activation("hidden_activation", geglu=GELU_TANH, swiglu=SILU),
    query_scale("query_pre_attn_scalar"),
    bounds(logit_softcap="final_logit_softcapping"),
    only(attention_bias=False, use_bidirectional_attention=None),
    whole_heads(),
)
_DEFAULTS: dict[str, Any] = {
    **DEFAULTS,
    "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "tie_word_embeddings": True,
}

GEMMAS: dict[str, Family] = {
    "gemma": Family(
        architecture="GemmaForCausalLM",
        classifier="GemmaForSequenceClassification",
        names=names.LLAMA,
        defaults={
            **DEFAULTS,
            "head_dim": 256,
            "tie_word_embeddings": True,
            "max_position_embeddings": 8192,
            "num_key_value_heads": 16,
            "hidden_act": "gelu_pytorch_tanh",
        },
        aspects=(
            *LLAMA,
            DENSE,
            fixed(norm="zero_centered_rmsnorm", embedding_scale=True),
            # Old files say "gelu", and mean the tanh form all the same.
            activation("hidden_act", geglu=(*GELU_TANH, "gelu"), swiglu=SILU),
            rope(),
            only(attention_bias=False, use_bidirectional_attention=None),
            whole_heads(),
        ),
    ),
    "gemma2": Family(
        architecture="Gemma2ForCausalLM",
        classifier="Gemma2ForSequenceClassification",
        names=names.GEMMA,
        defaults={
            **_DEFAULTS,
            "max_position_embeddings": 8192,
            "num_key_value_heads": 4,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
        },
        aspects=(
            *_GEMMA,
            rope(),
            bounds(attention_softcap="attn_logit_softcapping"),
            layer_windows(lambda settings, layer: layer % 2 == 0),
        ),
    ),
    "gemma3_text": Family(
        architecture="Gemma3ForCausalLM",
        classifier="Gemma3TextForSequenceClassification",
        names=names.GEMMA,
        defaults={
            **_DEFAULTS,
            "vocab_size": 262208,
            "num_attention_heads": 8,
            "max_position_embeddings": 131072,
            "num_key_value_heads": 4,
            "rope_theta": 1e6,
            "rope_local_base_freq": 10000.0,
            "sliding_window_pattern": 6,
        },
        aspects=(
            *_GEMMA,
            rope(local="rope_local_base_freq"),
            fixed(qk_norm="head"),
            only(attn_logit_softcapping=None),  # transformers reads it, and bounds nothing
            layer_windows(all_but_each),
        ),
    ),
}
