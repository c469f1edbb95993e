"""The families whose native classes in `transformers` compute what our model computes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.base.errors import RunError, shown
from groundup.weights.hf import names
from groundup.weights.hf.aspects import (
    GELU,
    GELU_TANH,
    SILU,
    activation,
    biases,
    bounds,
    dropout,
    fixed,
    layer_windows,
    layers,
    numbers,
    only,
    query_scale,
    respelled,
    rope,
    whole_heads,
    window,
)
from groundup.weights.hf.family import Family
from groundup.weights.hf.settings import Settings


def family_of(values: Mapping[str, Any], source: Path) -> tuple[str, Family]:
    """Return the model_type of a config.json and its family; an unknown one is a `RunError`."""
    model_type = values.get("model_type")
    if isinstance(model_type, str) and model_type in FAMILIES:
        return model_type, FAMILIES[model_type]
    raise RunError(
        f"{source}: model_type = {shown(model_type)}: expected one of {', '.join(FAMILIES)}; a "
        "model of another architecture cannot be expressed here"
    )


_WHOLE = only(quantization_config=None)
_LLAMA = (
    layers("num_hidden_layers"),
    numbers(
        vocab_size="vocab_size",
        context_length="max_position_embeddings",
        emb_dim="hidden_size",
        n_heads="num_attention_heads",
        n_kv_heads="num_key_value_heads",
        head_dim="head_dim",
        norm_eps="rms_norm_eps",
        tie_embeddings="tie_word_embeddings",
    ),
    fixed(norm="rmsnorm", position="rope", bias=False),
    _WHOLE,
)
_DENSE = numbers(ffn_dim="intermediate_size")
_GATED = activation("hidden_act", swiglu=SILU, geglu=GELU_TANH)
_DEFAULTS = {
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "use_sliding_window": False,
}
_QWEN = {**_DEFAULTS, "max_position_embeddings": 32768, "sliding_window": 4096}
_GEMMA = (
    *_LLAMA,
    _DENSE,
    fixed(norm="zero_centered_rmsnorm", norm_order="sandwich", embedding_scale=True),
    activation("hidden_activation", geglu=GELU_TANH, swiglu=SILU),
    query_scale("query_pre_attn_scalar"),
    bounds(attention_softcap="attn_logit_softcapping", logit_softcap="final_logit_softcapping"),
    only(attention_bias=False, use_bidirectional_attention=None),
    whole_heads(),
)
_GEMMA_DEFAULTS = {
    **_DEFAULTS,
    "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "tie_word_embeddings": True,
}


def _last_layers(settings: Settings, layer: int) -> bool:
    first = settings["max_window_layers"]
    if type(first) is not int:
        raise settings.refusal("max_window_layers", "a number of layers")
    return layer >= first


def _all_but_each(settings: Settings, layer: int) -> bool:
    every = settings["sliding_window_pattern"]
    if type(every) is not int or every < 1:
        raise settings.refusal("sliding_window_pattern", "1 or more")
    return bool((layer + 1) % every)


# The first that can express a model is the class it is exported to.
FAMILIES = {
    "gpt2": Family(
        architecture="GPT2LMHeadModel",
        classifier="GPT2ForSequenceClassification",
        names=names.GPT2,
        defaults={
            "n_positions": 1024,
            "layer_norm_epsilon": 1e-5,
            "activation_function": "gelu_new",
            "scale_attn_weights": True,
            "tie_word_embeddings": True,
        },
        aspects=(
            layers("n_layer"),
            numbers(
                vocab_size="vocab_size",
                context_length="n_positions",
                emb_dim="n_embd",
                n_heads="n_head",
                ffn_dim="n_inner",
                norm_eps="layer_norm_epsilon",
                tie_embeddings="tie_word_embeddings",
            ),
            fixed(qkv_bias=True),
            activation("activation_function", gelu_tanh=GELU, gelu=("gelu",)),
            only(
                scale_attn_weights=True,
                scale_attn_by_inverse_layer_idx=False,
                add_cross_attention=False,
            ),
            dropout("attn_pdrop", "embd_pdrop", "resid_pdrop"),
            _WHOLE,
        ),
    ),
    "llama": Family(
        architecture="LlamaForCausalLM",
        classifier="LlamaForSequenceClassification",
        names=names.LLAMA,
        defaults={**_DEFAULTS, "max_position_embeddings": 2048, "mlp_bias": False},
        aspects=(
            *_LLAMA,
            _DENSE,
            _GATED,
            biases("attention_bias", "mlp_bias"),
            rope(),
            whole_heads(),
        ),
    ),
    "mistral": Family(
        architecture="MistralForCausalLM",
        classifier="MistralForSequenceClassification",
        names=names.LLAMA,
        defaults={
            **_DEFAULTS,
            "max_position_embeddings": 131072,
            "num_key_value_heads": 8,
            "sliding_window": 4096,
        },
        aspects=(*_LLAMA, _DENSE, _GATED, rope(), window()),
    ),
    "qwen2": Family(
        architecture="Qwen2ForCausalLM",
        classifier="Qwen2ForSequenceClassification",
        names=names.LLAMA,
        defaults={**_QWEN, "num_key_value_heads": 32, "max_window_layers": 28},
        aspects=(
            *_LLAMA,
            _DENSE,
            _GATED,
            rope(),
            fixed(qkv_bias=True),
            layer_windows(_last_layers, "use_sliding_window"),
        ),
    ),
    "qwen3": Family(
        architecture="Qwen3ForCausalLM",
        classifier="Qwen3ForSequenceClassification",
        names=names.LLAMA,
        defaults={**_QWEN, "num_key_value_heads": 32, "head_dim": 128, "max_window_layers": 28},
        aspects=(
            *_LLAMA,
            _DENSE,
            _GATED,
            rope(),
            fixed(qk_norm="head"),
            only(attention_bias=False),
            layer_windows(_last_layers, "use_sliding_window"),
        ),
    ),
    "gemma2": Family(
        architecture="Gemma2ForCausalLM",
        classifier="Gemma2ForSequenceClassification",
        names=names.GEMMA,
        defaults={
            **_GEMMA_DEFAULTS,
            "max_position_embeddings": 8192,
            "num_key_value_heads": 4,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
        },
        aspects=(*_GEMMA, rope(), layer_windows(lambda settings, layer: layer % 2 == 0)),
    ),
    "gemma3_text": Family(
        architecture="Gemma3ForCausalLM",
        classifier="Gemma3TextForSequenceClassification",
        names=names.GEMMA,
        defaults={
            **_GEMMA_DEFAULTS,
            "max_position_embeddings": 131072,
            "num_key_value_heads": 4,
            "rope_theta": 1e6,
            "rope_local_base_freq": 10000.0,
            "sliding_window_pattern": 6,
        },
        aspects=(
            *_GEMMA,
            rope(has_local=True),
            fixed(qk_norm="head"),
            layer_windows(_all_but_each),
        ),
    ),
    "olmo2": Family(
        architecture="Olmo2ForCausalLM",
        classifier="Olmo2ForSequenceClassification",
        names=names.OLMO2,
        defaults={**_DEFAULTS, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5},
        aspects=(
            *_LLAMA,
            _DENSE,
            _GATED,
            rope(),
            fixed(norm_order="post", qk_norm="width"),
            only(attention_bias=False),
        ),
    ),
    "mixtral": Family(
        architecture="MixtralForCausalLM",
        classifier="MixtralForSequenceClassification",
        names=names.MIXTRAL,
        defaults={
            **_DEFAULTS,
            "max_position_embeddings": 131072,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1e6,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
        },
        aspects=(
            *_LLAMA,
            _DENSE,
            _GATED,
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
            **_QWEN,
            "num_key_value_heads": 4,
            "num_experts": 128,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 768,
            "decoder_sparse_step": 1,
            "norm_topk_prob": False,
        },
        aspects=(
            *_LLAMA,
            _GATED,
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
