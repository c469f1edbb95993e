"""GPT-2 and the models after it: layer norms, biases, no gates."""

from __future__ import annotations

from groundup.weights.hf import names
from groundup.weights.hf.aspects import (
    GELU,
    activation,
    choice,
    dropout,
    embedded_as_wide,
    fixed,
    layers,
    numbers,
    only,
)
from groundup.weights.hf.families.common import KEYS, WHOLE, sizes
from groundup.weights.hf.family import Family
from groundup.weights.hf.rotations import rope
from groundup.weights.hf.windows import neo_windows

GPTS: dict[str, Family] = {
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
            WHOLE,
        ),
    ),
    "gpt_neo": Family(
        architecture="GPTNeoForCausalLM",
        classifier="GPTNeoForSequenceClassification",
        names=names.GPT_NEO,
        defaults={
            "max_position_embeddings": 2048,
            "layer_norm_epsilon": 1e-5,
            "activation_function": "gelu_new",
            "window_size": 256,
            "attention_types": [[["global", "local"], 12]],
            "tie_word_embeddings": True,
        },
        aspects=(
            layers("num_layers"),
            sizes(n_heads="num_heads", ffn_dim="intermediate_size", norm_eps="layer_norm_epsilon"),
            fixed(query_pre_attn_scalar=1.0),  # scores are products as they are
            activation("activation_function", gelu_tanh=GELU, gelu=("gelu",), relu=("relu",)),
            neo_windows(),
            dropout("attention_dropout", "embed_dropout", "resid_dropout"),
            WHOLE,
        ),
    ),
    "gpt_neox": Family(
        architecture="GPTNeoXForCausalLM",
        classifier="GPTNeoXForSequenceClassification",
        names=names.GPT_NEOX,
        defaults={
            "max_position_embeddings": 2048,
            "layer_norm_eps": 1e-5,
            "hidden_act": "gelu",
            "rotary_emb_base": 10000.0,
            "rotary_pct": 0.25,
            "use_parallel_residual": True,
            "attention_bias": True,
            "tie_word_embeddings": False,
        },
        aspects=(
            layers("num_hidden_layers"),
            sizes(ffn_dim="intermediate_size", norm_eps="layer_norm_eps"),
            fixed(qkv_bias=True, position="rope"),
            choice("norm_order", "use_parallel_residual", parallel=True, pre=False),
            activation("hidden_act", gelu=("gelu",), gelu_tanh=GELU, relu=("relu",)),
            rope(theta="rotary_emb_base", partial="rotary_pct"),
            only(attention_bias=True, head_dim=None),
            dropout("attention_dropout", "hidden_dropout"),
            WHOLE,
        ),
    ),
    "opt": Family(
        architecture="OPTForCausalLM",
        classifier="OPTForSequenceClassification",
        names=names.OPT,
        defaults={
            "max_position_embeddings": 2048,
            "activation_function": "relu",
            "do_layer_norm_before": True,
            "enable_bias": True,
            "layer_norm_elementwise_affine": True,
            "tie_word_embeddings": True,
        },
        aspects=(
            layers("num_hidden_layers"),
            sizes(ffn_dim="ffn_dim"),
            fixed(qkv_bias=True),
            activation("activation_function", relu=("relu",), gelu=("gelu",), gelu_tanh=GELU),
            embedded_as_wide("word_embed_proj_dim"),
            only(
                do_layer_norm_before=True,
                enable_bias=True,
                layer_norm_elementwise_affine=True,
                _remove_final_layer_norm=False,
            ),
            dropout("attention_dropout", "dropout"),
            WHOLE,
        ),
    ),
    "phi": Family(
        architecture="PhiForCausalLM",
        classifier="PhiForSequenceClassification",
        names=names.PHI,
        defaults={
            "max_position_embeddings": 2048,
            "rope_theta": 10000.0,
            "tie_word_embeddings": False,
            "layer_norm_eps": 1e-5,
            "hidden_act": "gelu_new",
            "partial_rotary_factor": 0.5,
            "qk_layernorm": False,
        },
        aspects=(
            layers("num_hidden_layers"),
            sizes(**KEYS, ffn_dim="intermediate_size", norm_eps="layer_norm_eps"),
            fixed(qkv_bias=True, position="rope", norm_order="parallel_shared", head_bias=True),
            activation("hidden_act", gelu_tanh=GELU, gelu=("gelu",)),
            rope(partial="partial_rotary_factor"),
            only(qk_layernorm=False),
            dropout("attention_dropout", "embd_pdrop", "resid_pdrop"),
            WHOLE,
        ),
    ),
}
