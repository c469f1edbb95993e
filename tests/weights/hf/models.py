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

_NO_IDS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
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
    **_NO_IDS,
}
_NEOX = {
    "vocab_size": VOCABULARY,
    "max_position_embeddings": CONTEXT,
    "hidden_size": 36,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 50,
    "layer_norm_eps": 1e-4,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 3000.0,
        "partial_rotary_factor": 0.34,
    },
    **_NO_IDS,
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
_YARN = {
    "rope_type": "yarn",
    "rope_theta": 3000.0,
    "factor": 4.0,
    "beta_slow": 0.2,
    "beta_fast": 3.0,
    "original_max_position_embeddings": 24,
}
_LONGROPE: dict[str, Any] = {
    "rope_type": "longrope",
    "rope_theta": 3000.0,
    "short_factor": [1.02, 1.3, 2.1],
    "long_factor": [1.5, 3.25, 7.9],
    "original_max_position_embeddings": CONTEXT,
}
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
    "mistral-longrope": {
        "model_type": "mistral",
        **_LLAMA,
        "max_position_embeddings": 4 * CONTEXT,
        "head_dim": 6,
        "rope_parameters": {**_LONGROPE, "attention_factor": 1.4},
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
    "olmo3": {
        "model_type": "olmo3",
        **_LLAMA,
        "rope_parameters": {"full_attention": _YARN, "sliding_attention": _PLAIN},
        "sliding_window": WINDOW,
        "layer_types": _MIXED,
    },
    "ministral": {
        "model_type": "ministral",
        **_LLAMA,
        "rope_parameters": {**_YARN, "attention_factor": 1.7},
        "sliding_window": WINDOW,
        "layer_types": _MIXED,
    },
    "smollm3": {
        "model_type": "smollm3",
        **_LLAMA,
        "head_dim": 8,
        "rope_parameters": _YARN,
        "no_rope_layers": [1, 0, 1],
        "use_sliding_window": True,
        "sliding_window": WINDOW,
        "layer_types": _MIXED,
        "attention_bias": True,
        "mlp_bias": True,
    },
    "arcee": {
        "model_type": "arcee",
        **_LLAMA,
        "head_dim": 8,
        "rope_parameters": {**_YARN, "mscale": 0.7, "mscale_all_dim": 0.3},
        "attention_bias": True,
        "mlp_bias": True,
    },
    "seed_oss": {
        "model_type": "seed_oss",
        **_LLAMA,
        "rope_parameters": _PLAIN,
        "attention_bias": False,
        "attention_out_bias": True,
        "mlp_bias": True,
    },
    "phi3": {
        "model_type": "phi3",
        **_LLAMA,
        "head_dim": 8,
        "rope_parameters": {**_PLAIN, "partial_rotary_factor": 0.75},
        "sliding_window": WINDOW,
    },
    "phi3-longrope": {
        "model_type": "phi3",
        **_LLAMA,
        "max_position_embeddings": 4 * CONTEXT,
        "original_max_position_embeddings": CONTEXT,
        "head_dim": 8,
        "rope_parameters": {**_LONGROPE, "partial_rotary_factor": 0.75},
        "sliding_window": WINDOW,
    },
    "glm4": {
        "model_type": "glm4",
        **_LLAMA,
        "rope_parameters": {**_PLAIN, "partial_rotary_factor": 0.5},
    },
    "granite": {
        "model_type": "granite",
        **_LLAMA,
        "head_dim": 8,
        "rope_parameters": _PLAIN,
        "embedding_multiplier": 0.3,
        "attention_multiplier": 0.2,
        "residual_multiplier": 0.37,
        "logits_scaling": 0.4,
        "attention_bias": True,
        "mlp_bias": True,
        "tie_word_embeddings": True,
    },
    "starcoder2": {
        "model_type": "starcoder2",
        **_LLAMA,
        "head_dim": 8,
        "norm_epsilon": 1e-4,
        "rope_parameters": _PLAIN,
        "sliding_window": WINDOW,
    },
    "nanochat": {
        "model_type": "nanochat",
        **_LLAMA,
        "rope_parameters": _LINEAR,
        "final_logit_softcapping": 5.0,
    },
    "cohere2": {
        "model_type": "cohere2",
        **_LLAMA,
        "layer_norm_eps": 1e-4,
        "rope_parameters": _PLAIN,
        "sliding_window": WINDOW,
        "layer_types": _MIXED,
        "logit_scale": 0.3,
    },
    "phi": {
        "model_type": "phi",
        **_LLAMA,
        "layer_norm_eps": 1e-4,
        "rope_parameters": {**_PLAIN, "partial_rotary_factor": 0.34},
    },
    "gemma": {"model_type": "gemma", **_LLAMA, "rope_parameters": _PLAIN},
    "gpt_neo": {
        "model_type": "gpt_neo",
        "vocab_size": VOCABULARY,
        "max_position_embeddings": CONTEXT,
        "hidden_size": 36,
        "num_layers": 3,
        "num_heads": 3,
        "intermediate_size": 50,
        "attention_types": [[["global", "local"], 1], [["local"], 1]],
        "window_size": WINDOW,
        "layer_norm_epsilon": 1e-4,
        **_NO_IDS,
    },
    "gpt_neox": {"model_type": "gpt_neox", **_NEOX},
    "gpt_neox-in-turn": {
        "model_type": "gpt_neox",
        **_NEOX,
        "use_parallel_residual": False,
        "tie_word_embeddings": True,
    },
    "opt": {
        "model_type": "opt",
        "vocab_size": VOCABULARY,
        "max_position_embeddings": CONTEXT,
        "hidden_size": 36,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "ffn_dim": 50,
        **_NO_IDS,
    },
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
    "qwen3_moe-of-all": {
        "model_type": "qwen3_moe",
        **_LLAMA,
        **_EXPERTS,
        "rope_parameters": _PLAIN,
        "num_experts": 5,
        "moe_intermediate_size": 20,
        "norm_topk_prob": False,
    },
    "gpt_oss": {
        "model_type": "gpt_oss",
        **_LLAMA,
        **_EXPERTS,
        "rope_parameters": {**_YARN, "truncate": False},
        "sliding_window": WINDOW,
        "layer_types": _MIXED[:2],
        "num_local_experts": 3,
    },
    "qwen2_moe": {
        "model_type": "qwen2_moe",
        **_LLAMA,
        **_EXPERTS,
        "rope_parameters": _PLAIN,
        "use_sliding_window": True,
        "sliding_window": WINDOW,
        "max_window_layers": 1,
        "num_experts": 3,
        "moe_intermediate_size": 20,
        "shared_expert_intermediate_size": 28,
    },
}


def random_model(name: str, **changes: Any) -> PreTrainedModel:
    """Return a model of `transformers`, every parameter random, its attention the plain one."""
    config = AutoConfig.for_model(**MODELS[name] | changes)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    randomise(model, scale=0.4)
    if name == "opt":  # nothing looks up the first two
        model.model.decoder.embed_positions.weight.data[:2] = 0
    return model


def saved(name: str, folder: Path, **changes: Any) -> PreTrainedModel:
    """Return a random model, having saved it as `transformers` does."""
    model = random_model(name, **changes)
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
