"""Small models of `transformers` with every feature of their family switched on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from groundup import GPT
from groundup.weights.pretrained import Pretrained
from tests.model.helpers import randomise

CONTEXT, WINDOW, VOCABULARY = 64, 7, 97

_LLAMA: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "max_position_embeddings": CONTEXT,
    "hidden_size": 32,
    "intermediate_size": 44,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "rms_norm_eps": 1e-4,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
_LLAMA3: dict[str, Any] = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 3.0,
    "original_max_position_embeddings": 24,
}
_PLAIN = {"rope_type": "default", "rope_theta": 3000.0}
_LINEAR = {"rope_type": "linear", "rope_theta": 900.0, "factor": 3.0}
_MIXED = ["sliding_attention", "full_attention", "sliding_attention"]
_EXPERTS = {"num_experts_per_tok": 2, "num_hidden_layers": 2}

MODELS: dict[str, dict[str, Any]] = {
    "gpt2": {
        "model_type": "gpt2",
        "vocab_size": VOCABULARY,
        "n_positions": CONTEXT,
        "n_embd": 36,
        "n_layer": 3,
        "n_head": 3,
        "n_inner": 50,
        "layer_norm_epsilon": 1e-4,
        "bos_token_id": None,
        "eos_token_id": None,
    },
    "gpt2-exact-untied": {
        "model_type": "gpt2",
        "vocab_size": VOCABULARY,
        "n_positions": CONTEXT,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "layer_norm_epsilon": 1e-3,
        "activation_function": "gelu",
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": None,
    },
    "llama": {"model_type": "llama", **_LLAMA, "rope_parameters": _LLAMA3},
    "llama-biased-linear-tied": {
        "model_type": "llama",
        **_LLAMA,
        "rope_parameters": _LINEAR,
        "attention_bias": True,
        "mlp_bias": True,
        "hidden_act": "gelu_pytorch_tanh",
        "tie_word_embeddings": True,
    },
    "mistral": {
        "model_type": "mistral",
        **_LLAMA,
        "rope_parameters": _PLAIN,
        "sliding_window": WINDOW,
    },
    "qwen2": {
        "model_type": "qwen2",
        **_LLAMA,
        "rope_parameters": _PLAIN,
        "use_sliding_window": True,
        "sliding_window": WINDOW,
        "max_window_layers": 1,
        "tie_word_embeddings": True,
    },
    "qwen3": {
        "model_type": "qwen3",
        **_LLAMA,
        "rope_parameters": _PLAIN,
        "use_sliding_window": True,
        "sliding_window": WINDOW,
        "layer_types": _MIXED,
    },
    "gemma2": {
        "model_type": "gemma2",
        **_LLAMA,
        "rope_parameters": _PLAIN,
        "sliding_window": WINDOW,
        "query_pre_attn_scalar": 19,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 10.0,
    },
    "gemma3": {
        "model_type": "gemma3_text",
        **_LLAMA,
        "rope_parameters": {
            "full_attention": _LINEAR,
            "sliding_attention": {"rope_type": "default", "rope_theta": 40.0},
        },
        "sliding_window": WINDOW,
        "layer_types": _MIXED,
        "query_pre_attn_scalar": 17,
        "final_logit_softcapping": 10.0,
    },
    "olmo2": {"model_type": "olmo2", **_LLAMA, "rope_parameters": _PLAIN},
    "mixtral": {
        "model_type": "mixtral",
        **_LLAMA,
        **_EXPERTS,
        "rope_parameters": _PLAIN,
        "sliding_window": WINDOW,
        "num_local_experts": 5,
    },
    "qwen3_moe": {
        "model_type": "qwen3_moe",
        **_LLAMA,
        **_EXPERTS,
        "rope_parameters": _PLAIN,
        "use_sliding_window": True,
        "sliding_window": WINDOW,
        "num_experts": 5,
        "moe_intermediate_size": 20,
        "norm_topk_prob": True,
    },
}


def random_model(name: str) -> PreTrainedModel:
    """Return a model of `transformers`, every parameter random, its attention the plain one."""
    config = AutoConfig.for_model(**MODELS[name])
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    randomise(model, scale=0.4)
    return model


def saved(name: str, folder: Path) -> PreTrainedModel:
    """Return a random model, having saved it as `transformers` does."""
    model = random_model(name)
    model.save_pretrained(folder)
    return model


def loaded(folder: Path) -> PreTrainedModel:
    """Return what `transformers` makes of a folder by itself."""
    return AutoModelForCausalLM.from_pretrained(
        folder, trust_remote_code=False, attn_implementation="eager", dtype="auto"
    ).eval()


def filled(found: Pretrained) -> GPT:
    """Return our model with the weights that were read."""
    with torch.device("meta"):
        model = GPT(found.config)
    state = {name: stored.read() for name, stored in found.tensors.items()}
    model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()
    return model.float().eval()
