"""llama.cpp's architectures: which of our parts each stands for, and the numbers beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_PLAIN = {"norm": "rmsnorm", "position": "rope", "feed_forward": "swiglu"}
_LLAMA = {**_PLAIN, "bias": False}
_GEMMA = {
    **_LLAMA,
    "norm": "zero_centered_rmsnorm",
    "feed_forward": "geglu",
    "qkv_bias": False,
    "norm_order": "sandwich",
    "embedding_scale": True,
}


@dataclass(frozen=True)
class Architecture:
    """What an architecture fixes (`fixed`, fields of `GPTConfig`), and what else it knows."""

    fixed: dict[str, Any]
    fused: bool = False
    """Query, key and value are one matrix."""
    biases: bool = False
    """Every bias must be there."""
    interleaved: bool = False
    """Rope turns neighbours, not the halves of a head."""
    free_head_dim: bool = True
    """The heads need not add up to the width."""
    experts: bool = False
    llama3: bool = False
    """Rotations may be slowed by one factor each."""
    local_every: int = 0
    """Where the file does not say: each layer but every n-th is windowed; 0: it has no windows."""
    local_base: float = 0.0
    """Likewise rope's base in windowed layers; 0: that of the others."""
    local_scaled: bool = False
    """Linear scaling holds in windowed layers too."""
    defaults: dict[str, Any] = field(default_factory=dict)
    """Fields it has beyond the usual ones, and their values where the file does not say."""
    widest: int = 0
    """At so many layers scores are divided by the root of emb_dim / n_heads, else of head_dim."""


ARCHITECTURES = {
    "gpt2": Architecture(
        {"norm": "layernorm", "position": "learned", "feed_forward": "gelu_tanh"},
        fused=True,
        biases=True,
        free_head_dim=False,
    ),
    "qwen2": Architecture({**_LLAMA, "qkv_bias": True}, free_head_dim=False),
    "qwen3": Architecture({**_LLAMA, "qk_norm": "head"}),
    "qwen3moe": Architecture({**_LLAMA, "qk_norm": "head"}, experts=True),
    "olmo2": Architecture(
        {**_LLAMA, "qkv_bias": False, "norm_order": "post", "qk_norm": "width"},
        free_head_dim=False,
        local_every=4,
    ),
    "gemma2": Architecture(
        _GEMMA,
        local_every=2,
        local_scaled=True,
        defaults={"window": 4096, "attention_softcap": 50.0, "logit_softcap": 30.0},
        widest=46,
    ),
    "gemma3": Architecture(
        {**_GEMMA, "qk_norm": "head"},
        local_every=6,
        local_base=10000.0,
        defaults={"logit_softcap": 0.0},
        widest=62,
    ),
    "llama": Architecture(_PLAIN, interleaved=True, experts=True, llama3=True),
}
"""In the order in which they are tried for a model of ours."""
