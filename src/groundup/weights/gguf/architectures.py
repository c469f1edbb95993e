"""llama.cpp's architectures: which of our parts each stands for, and the numbers beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from groundup.config import GPTConfig
from groundup.weights.folds import Folds, cohere2_folds, granite_folds

_PLAIN = {"norm": "rmsnorm", "position": "rope", "feed_forward": "swiglu"}
_LLAMA = {**_PLAIN, "bias": False}
_GPT = {"norm": "layernorm", "position": "rope", "feed_forward": "gelu_tanh"}
_GEMMA = {
    **_LLAMA,
    "norm": "zero_centered_rmsnorm",
    "feed_forward": "geglu",
    "qkv_bias": False,
    "embedding_scale": True,
}
_SANDWICH = {**_GEMMA, "norm_order": "sandwich"}
_TIED, _UNTIED = {"tie_embeddings": True}, {"tie_embeddings": False}
_BIASES = ("bias", "qkv_bias")


Scale = Callable[[str], float]
"""Returns the number at a key, 0 where it is absent."""


def _granite(scale: Scale, config: GPTConfig) -> Folds:
    return granite_folds(
        config,
        embedding=scale("embedding_scale") or 1.0,
        attention=scale("attention.scale"),
        residual=scale("residual_scale") or 1.0,
        logits=scale("logit_scale") or 1.0,
    )


def _cohere2(scale: Scale, config: GPTConfig) -> Folds:
    return cohere2_folds(scale("logit_scale") or 1.0)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What an architecture fixes (`fixed`, fields of `GPTConfig`), and what else it knows."""

    fixed: dict[str, Any]
    switches: dict[str, tuple[str, Any, Any]] = field(default_factory=dict)
    """Keys that are true or false: the field they stand for, and its value then; absent: true."""
    defaults: dict[str, Any] = field(default_factory=dict)
    """Fields it has beyond the usual ones, and their values where the file does not say."""
    folds: Callable[[Scale, GPTConfig], Folds] | None = None
    """The factors that it multiplies by each time, which our weights take in."""
    said: dict[str, Any] = field(default_factory=dict)
    """What every file of it has to say, and is the same for all models of ours."""
    notice: str = ""
    """What a file of it leaves open."""
    names: dict[str, str] = field(default_factory=dict)
    """Tensors that it calls otherwise than the others."""
    fused: bool = False
    """Query, key and value are written as one matrix."""
    gate_in_up: bool = False
    """The feed-forward network's gate and what it multiplies are one matrix."""
    biases: tuple[str, ...] = ()
    """Biases that must be there."""
    experts: bool = False
    shared: bool = False
    """A network beside the experts works on every token."""
    free_head_dim: bool = True
    """The heads need not add up to the width."""
    widest: int = 0
    """At so many layers scores are divided by the root of emb_dim / n_heads, else of head_dim."""
    interleaved: bool = False
    """Rope turns neighbours, not the halves of a head."""
    partial: bool = False
    """Heads may turn in part."""
    llama3: bool = False
    """Rotations may be slowed by one factor each."""
    longrope: bool = False
    """The same, by two factors each, of which the context chooses one."""
    yarn: bool = True
    local_every: int = 0
    """Where the file does not say: each layer but every n-th is windowed; 0: it has no windows."""
    local_base: float | None = None
    """Rope's base in windowed layers where the file does not say, 0: that of the others; None: it
    is always that."""
    local_scaled: bool = False
    """Rotations are slowed in windowed layers too."""
    local_turns: bool = False
    """Only windowed layers turn."""
    always_local: bool = False
    """llama.cpp loads no model without windowed layers."""


ARCHITECTURES = {
    "gpt2": Architecture(
        fixed={**_GPT, "position": "learned"}, fused=True, biases=_BIASES, free_head_dim=False
    ),
    "qwen2": Architecture(fixed={**_LLAMA, "qkv_bias": True}, free_head_dim=False),
    "qwen3": Architecture(fixed={**_LLAMA, "qk_norm": "head"}),
    "qwen3moe": Architecture(fixed={**_LLAMA, "qk_norm": "head"}, experts=True),
    "olmo2": Architecture(
        fixed={**_LLAMA, **_UNTIED, "qkv_bias": False, "norm_order": "post", "qk_norm": "width"},
        free_head_dim=False,
        local_every=4,
    ),
    "gemma": Architecture(fixed={**_GEMMA, **_TIED}),
    "gemma2": Architecture(
        fixed={**_SANDWICH, **_TIED},
        yarn=False,
        local_every=2,
        local_base=0.0,
        local_scaled=True,
        defaults={"window": 4096, "attention_softcap": 50.0, "logit_softcap": 30.0},
        widest=46,
    ),
    "gemma3": Architecture(
        fixed={**_SANDWICH, "qk_norm": "head"},
        yarn=False,
        local_every=6,
        local_base=10000.0,
        defaults={"logit_softcap": 0.0},
        widest=62,
    ),
    "llama": Architecture(fixed=_PLAIN, interleaved=True, experts=True, llama3=True),
    "granite": Architecture(
        fixed=_PLAIN,
        switches={"rope.scaling.finetuned": ("rope_pattern", "R", "N")},
        interleaved=True,
        llama3=True,
        folds=_granite,
        said={"logit_scale": 1.0},
    ),
    "seed_oss": Architecture(fixed=_LLAMA, names={"ffn_norm": "post_attention_norm"}),
    "phi3": Architecture(
        fixed=_LLAMA,
        fused=True,
        gate_in_up=True,
        free_head_dim=False,
        partial=True,
        longrope=True,
    ),
    "smollm3": Architecture(fixed={**_LLAMA, "rope_pattern": "RRRN"}, interleaved=True),
    "arcee": Architecture(
        fixed={**_LLAMA, "feed_forward": "relu_squared"}, interleaved=True, llama3=True
    ),
    "glm4": Architecture(
        fixed={**_LLAMA, "norm_order": "sandwich"}, gate_in_up=True, interleaved=True, partial=True
    ),
    "cohere2": Architecture(
        fixed={**_LLAMA, **_TIED, "norm": "layernorm", "norm_order": "parallel_shared"},
        free_head_dim=False,
        interleaved=True,
        partial=True,
        local_every=4,
        local_scaled=True,
        local_turns=True,
        always_local=True,
        folds=_cohere2,
        said={"logit_scale": 1.0},
    ),
    "starcoder2": Architecture(fixed=_GPT, biases=_BIASES, free_head_dim=False),
    "gptneox": Architecture(
        fixed={**_GPT, **_UNTIED},
        switches={"use_parallel_residual": ("norm_order", "parallel", "pre")},
        notice="the file does not say with which GELU its model learnt: that by tanh is used, as "
        "llama.cpp does; Pythia's is the exact one (feed_forward = gelu)",
        fused=True,
        biases=_BIASES,
        free_head_dim=False,
        partial=True,
    ),
    "phi2": Architecture(
        fixed={**_GPT, **_UNTIED, "norm_order": "parallel_shared"},
        biases=(*_BIASES, "head_bias"),
        free_head_dim=False,
        partial=True,
    ),
    "qwen2moe": Architecture(
        fixed={**_LLAMA, **_UNTIED, "qkv_bias": True, "norm_expert_scores": False},
        experts=True,
        shared=True,
    ),
    "gpt-oss": Architecture(
        fixed={
            **_LLAMA,
            **_UNTIED,
            **dict.fromkeys(("bias", "qkv_bias", "router_bias", "attention_sinks"), True),
            "feed_forward": "clamped_swiglu",
        },
        notice="YaRN blends between whole pairs here, as llama.cpp has it; OpenAI's own code does "
        "not (rope_truncate = false)",
        names={"ffn_norm": "post_attention_norm"},
        experts=True,
        local_every=2,
        local_scaled=True,
        always_local=True,
    ),
}
"""In the order in which they are tried for a model that came from none of them."""

ABSENT: dict[str, dict[str, Any]] = {
    "OPT": {"position": "learned", "feed_forward": "relu"},
    "GPT-Neo": {"position": "learned", "query_pre_attn_scalar": 1.0},
}
"""What llama.cpp has no architecture for, by the fields that tell it from GPT-2."""
