"""Models with rotations whose feed-forward networks have no gate."""

from __future__ import annotations

from groundup.weights.hf import names
from groundup.weights.hf.aspects import (
    GELU,
    GELU_TANH,
    activation,
    bounds,
    dropout,
    fixed,
    layers,
    only,
    whole_heads,
)
from groundup.weights.hf.families.common import BIASES, DEFAULTS, DENSE, KEYS, LLAMA, WHOLE, sizes
from groundup.weights.hf.family import Family
from groundup.weights.hf.rotations import QUIET_KINDS, rope
from groundup.weights.hf.windows import window

_PLAIN = activation(
    "hidden_act", relu_squared=("relu2",), relu=("relu",), gelu=("gelu",), gelu_tanh=GELU
)

PLAINS: dict[str, Family] = {
    "arcee": Family(
        architecture="ArceeForCausalLM",
        classifier="ArceeForSequenceClassification",
        names=names.LLAMA,
        defaults={
            **DEFAULTS,
            "hidden_act": "relu2",
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-5,
            "mlp_bias": False,
        },
        aspects=(
            *LLAMA,
            DENSE,
            _PLAIN,
            *BIASES,
            rope(),
            whole_heads(),
        ),
    ),
    "starcoder2": Family(
        architecture="Starcoder2ForCausalLM",
        classifier="Starcoder2ForSequenceClassification",
        names=names.STARCODER2,
        defaults={
            "max_position_embeddings": 4096,
            "num_key_value_heads": 2,
            "hidden_act": "gelu_pytorch_tanh",
            "norm_epsilon": 1e-5,
            "rope_theta": 10000.0,
            "use_bias": True,
            "tie_word_embeddings": True,
        },
        aspects=(
            layers("num_hidden_layers"),
            sizes(**KEYS, ffn_dim="intermediate_size", norm_eps="norm_epsilon"),
            fixed(qkv_bias=True, position="rope"),
            activation("hidden_act", gelu_tanh=GELU_TANH, gelu=("gelu",)),
            rope(),
            window(),
            only(use_bias=True),
            dropout("attention_dropout", "embedding_dropout", "residual_dropout"),
            WHOLE,
        ),
    ),
    "nanochat": Family(
        architecture="NanoChatForCausalLM",
        classifier=None,
        names=names.NANOCHAT,
        defaults={
            **DEFAULTS,
            "hidden_act": "relu2",
            "max_position_embeddings": 2048,
            "final_logit_softcapping": 15.0,
        },
        aspects=(
            *LLAMA,
            DENSE,
            _PLAIN,
            rope(kinds=QUIET_KINDS),
            fixed(qk_norm="head"),
            bounds(logit_softcap="final_logit_softcapping"),
            only(attention_bias=False, tie_word_embeddings=False),
            dropout("attention_dropout"),
        ),
    ),
}
