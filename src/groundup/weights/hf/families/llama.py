"""Llama and its kin: models with rotations and gates, dense."""

from __future__ import annotations

from groundup.config import GPTConfig
from groundup.weights.folds import Folds, cohere2_folds, granite_folds
from groundup.weights.hf import names
from groundup.weights.hf.aspects import (
    alike,
    dropout,
    fixed,
    layers,
    numbers,
    only,
    whole_heads,
    written,
)
from groundup.weights.hf.families.common import (
    BIASES,
    DEFAULTS,
    DENSE,
    GATED,
    KEYS,
    LLAMA,
    QWEN,
    WHOLE,
    all_but_each,
    last_layers,
    sizes,
)
from groundup.weights.hf.family import Family
from groundup.weights.hf.rotations import PHI3_KINDS, longrope_heads, rope, rotated_layers
from groundup.weights.hf.settings import Settings
from groundup.weights.hf.windows import layer_windows, positions_in_windows, window


def _has_positions(settings: Settings, layer: int) -> bool:
    every = settings["no_rope_layer_interval"]
    if type(every) is not int or every < 1:
        raise settings.refusal("no_rope_layer_interval", "1 or more")
    return bool((layer + 1) % every)


def _without_positions(settings: Settings, layer: int) -> bool:
    told = settings["no_rope_layers"]
    return not (_has_positions(settings, layer) if told is None else told[layer])


def _granite(settings: Settings, config: GPTConfig) -> Folds:
    return granite_folds(
        config,
        embedding=settings.factor("embedding_multiplier"),
        attention=settings.factor("attention_multiplier"),
        residual=settings.factor("residual_multiplier"),
        logits=settings.factor("logits_scaling"),
    )


def _cohere(settings: Settings, config: GPTConfig) -> Folds:
    return cohere2_folds(settings.factor("logit_scale"))


LLAMAS: dict[str, Family] = {
    "llama": Family(
        architecture="LlamaForCausalLM",
        classifier="LlamaForSequenceClassification",
        names=names.LLAMA,
        defaults={**DEFAULTS, "max_position_embeddings": 2048, "mlp_bias": False},
        aspects=(
            *LLAMA,
            DENSE,
            GATED,
            *BIASES,
            rope(),
            whole_heads(),
        ),
    ),
    "mistral": Family(
        architecture="MistralForCausalLM",
        classifier="MistralForSequenceClassification",
        names=names.LLAMA,
        defaults={
            **DEFAULTS,
            "max_position_embeddings": 131072,
            "num_key_value_heads": 8,
            "sliding_window": 4096,
        },
        aspects=(*LLAMA, DENSE, GATED, rope(), window()),
    ),
    "qwen2": Family(
        architecture="Qwen2ForCausalLM",
        classifier="Qwen2ForSequenceClassification",
        names=names.LLAMA,
        defaults={**QWEN, "num_key_value_heads": 32, "max_window_layers": 28},
        aspects=(
            *LLAMA,
            DENSE,
            GATED,
            rope(),
            fixed(qkv_bias=True),
            layer_windows(last_layers, "use_sliding_window"),
        ),
    ),
    "qwen3": Family(
        architecture="Qwen3ForCausalLM",
        classifier="Qwen3ForSequenceClassification",
        names=names.LLAMA,
        defaults={**QWEN, "num_key_value_heads": 32, "head_dim": 128, "max_window_layers": 28},
        aspects=(
            *LLAMA,
            DENSE,
            GATED,
            rope(),
            fixed(qk_norm="head"),
            only(attention_bias=False),
            layer_windows(last_layers, "use_sliding_window"),
        ),
    ),
    "olmo2": Family(
        architecture="Olmo2ForCausalLM",
        classifier="Olmo2ForSequenceClassification",
        names=names.OLMO2,
        defaults={**DEFAULTS, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5},
        aspects=(
            *LLAMA,
            DENSE,
            GATED,
            rope(),
            fixed(norm_order="post", qk_norm="width"),
            only(attention_bias=False),
        ),
    ),
    "olmo3": Family(
        architecture="Olmo3ForCausalLM",
        classifier="Olmo3ForSequenceClassification",
        names=names.OLMO2,
        defaults={
            **DEFAULTS,
            "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-5,
            "rope_theta": 500000.0,
            "sliding_window": 4096,
            "sliding_window_pattern": 4,
        },
        aspects=(
            *LLAMA,
            DENSE,
            GATED,
            rope(local="rope_theta"),
            fixed(norm_order="post", qk_norm="width"),
            layer_windows(all_but_each),
            only(attention_bias=False),
        ),
    ),
    "ministral": Family(
        architecture="MinistralForCausalLM",
        classifier="MinistralForSequenceClassification",
        names=names.LLAMA,
        defaults={
            **DEFAULTS,
            "max_position_embeddings": 131072,
            "num_key_value_heads": 8,
            "sliding_window": 4096,
        },
        aspects=(*LLAMA, DENSE, GATED, rope(), layer_windows(lambda settings, layer: True)),
    ),
    "smollm3": Family(
        architecture="SmolLM3ForCausalLM",
        classifier="SmolLM3ForSequenceClassification",
        names=names.LLAMA,
        defaults={
            **DEFAULTS,
            "max_position_embeddings": 32768,
            "num_key_value_heads": 4,
            "rope_theta": 2000000.0,
            "tie_word_embeddings": True,
            "no_rope_layer_interval": 4,
            "mlp_bias": False,
        },
        aspects=(
            *LLAMA,
            DENSE,
            GATED,
            *BIASES,
            rope(),
            rotated_layers(_has_positions, "no_rope_layers"),
            layer_windows(_without_positions, "use_sliding_window"),
            whole_heads(),
        ),
    ),
    "seed_oss": Family(
        architecture="SeedOssForCausalLM",
        classifier="SeedOssForSequenceClassification",
        names=names.LLAMA,
        defaults={
            **DEFAULTS,
            "max_position_embeddings": 524288,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "attention_bias": True,
            "attention_out_bias": False,
            "mlp_bias": False,
        },
        aspects=(
            *LLAMA,
            DENSE,
            GATED,
            numbers(qkv_bias="attention_bias"),
            alike("bias", "attention_out_bias", "mlp_bias"),
            rope(),
            dropout("attention_dropout", "residual_dropout"),
        ),
    ),
    "phi3": Family(
        architecture="Phi3ForCausalLM",
        classifier="Phi3ForSequenceClassification",
        names=names.PHI3,
        defaults={
            **DEFAULTS,
            "max_position_embeddings": 4096,
            "original_max_position_embeddings": 4096,
            "rms_norm_eps": 1e-5,
            "partial_rotary_factor": 1.0,
        },
        aspects=(
            *LLAMA,
            DENSE,
            GATED,
            rope(partial="partial_rotary_factor", kinds=PHI3_KINDS),
            longrope_heads(),
            window(),
            whole_heads(),
            dropout("attention_dropout", "embd_pdrop", "resid_pdrop"),
        ),
    ),
    "glm4": Family(
        architecture="Glm4ForCausalLM",
        classifier="Glm4ForSequenceClassification",
        names=names.GLM4,
        defaults={
            **DEFAULTS,
            "max_position_embeddings": 131072,
            "num_key_value_heads": 2,
            "head_dim": 128,
            "rms_norm_eps": 0.00000015625,
            "partial_rotary_factor": 0.5,
            "attention_bias": True,
        },
        aspects=(
            *LLAMA,
            DENSE,
            GATED,
            numbers(qkv_bias="attention_bias"),
            rope(partial="partial_rotary_factor"),
            fixed(norm_order="sandwich"),
        ),
    ),
    "granite": Family(
        architecture="GraniteForCausalLM",
        classifier=None,
        names=names.LLAMA,
        defaults={
            **DEFAULTS,
            "max_position_embeddings": 2048,
            "mlp_bias": False,
            "embedding_multiplier": 1.0,
            "attention_multiplier": 1.0,
            "residual_multiplier": 1.0,
            "logits_scaling": 1.0,
        },
        aspects=(
            *LLAMA,
            DENSE,
            GATED,
            *BIASES,
            rope(),
            whole_heads(),
        ),
        folds=_granite,
    ),
    "cohere2": Family(
        architecture="Cohere2ForCausalLM",
        classifier=None,
        names=names.COHERE2,
        defaults={
            "max_position_embeddings": 8192,
            "hidden_act": "silu",
            "rope_theta": 10000.0,
            "attention_bias": False,
            "layer_norm_eps": 1e-5,
            "logit_scale": 0.0625,
            "sliding_window": 4096,
            "sliding_window_pattern": 4,
            "tie_word_embeddings": True,
        },
        aspects=(
            layers("num_hidden_layers"),
            sizes(**KEYS, ffn_dim="intermediate_size", norm_eps="layer_norm_eps"),
            fixed(bias=False, position="rope", norm_order="parallel_shared"),
            GATED,
            rope(),
            layer_windows(all_but_each),
            positions_in_windows(all_but_each),
            only(attention_bias=False),
            written(logit_scale=1.0),
            WHOLE,
        ),
        folds=_cohere,
    ),
}
