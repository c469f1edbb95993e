"""The shape of a model, in the vocabulary of the field: numbers, parts and orders."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from typing import Any

from groundup.base.errors import ConfigError
from groundup.config.fields import LATER, NAMES, by_name, check_types, require

MAX_DIMENSION = 1 << 24
"""No dimension of a real model comes near this; beyond it a number is a slip of the keyboard."""

NORMS = ("layernorm", "rmsnorm", "zero_centered_rmsnorm")
NORM_ORDERS = ("pre", "post", "sandwich", "parallel", "parallel_shared")
QK_NORMS = ("none", "head", "width")
POSITIONS = ("learned", "rope")
ROPE_SCALINGS = ("none", "linear", "llama3", "yarn", "longrope")
FEED_FORWARDS = (
    "gelu", "gelu_tanh", "relu", "relu_squared", "geglu", "swiglu", "clamped_swiglu",
)  # fmt: skip
ATTENTIONS = ("multi_head",)

TABLE = "table"
"""Metadata of a field that names a part: the table of `groundup.model.Parts` that has it."""
PART_NAME = re.compile(r"[A-Za-z0-9_]{1,80}")

DIMENSIONS = ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers", "n_kv_heads",
              "head_dim", "ffn_dim")  # fmt: skip


def _part(default: str, names: tuple[str, ...], table: str, later: bool = False) -> Any:
    """Return a field that names an entry of a table of parts."""
    return field(default=default, metadata={NAMES: names, TABLE: table, LATER: later})


def _later(default: Any) -> Any:
    """Return a field that older configs do not have."""
    return field(default=default, metadata={LATER: True})


@by_name
@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """The numbers that determine every tensor of a GPT (defaults: GPT-2's 124M, head untied).

    Raises `ConfigError`, one line naming the field, for a value that no model can have. A part may
    have any name: what it means is for the tables to say that `GPT` is given as `parts`.
    """

    vocab_size: int = 50257
    """Number of different tokens."""
    context_length: int = 1024
    """Most tokens the model can see at once."""
    emb_dim: int = 768
    """Width of the vector that stands for a token on its way through the blocks."""
    n_heads: int = 12
    """Attention heads in a block."""
    n_layers: int = 12
    """Number of transformer blocks."""
    drop_rate: float = 0.0
    """Share of activations zeroed while training: after embeddings, attention and feed-forward."""
    attention_drop_rate: float | None = None
    """The same of attention's weights; None is drop_rate. No fused kernel of a CPU does it."""
    qkv_bias: bool = False
    """Whether the query, key and value projections add a bias (OpenAI's GPT-2 does)."""
    bias: bool = True
    """Whether the other projections of a block, and layernorm, add a bias."""
    attention: str = _part("multi_head", ATTENTIONS, "attentions", later=True)
    """multi_head: the way in which tokens learn about each other."""
    n_kv_heads: int = 0
    """Heads of keys and values, each shared by n_heads / n_kv_heads queries; 0 is n_heads."""
    head_dim: int = 0
    """Width of an attention head; 0 is emb_dim / n_heads."""
    ffn_dim: int = 0
    """Width inside the feed-forward network, or each expert; 0 is 4 x emb_dim, gated 8/3 of it."""
    feed_forward: str = _part("gelu_tanh", FEED_FORWARDS, "feed_forwards")
    """gelu, gelu_tanh, relu, relu_squared, or gated: swiglu, geglu, clamped_swiglu (gpt-oss)."""
    n_experts: int = 0
    """Feed-forward networks in a block, of which a router chooses for each token; 0: just one."""
    n_active_experts: int = 0
    """Experts that work on a token."""
    router_bias: bool = _later(False)
    """Whether the router adds a bias (gpt-oss)."""
    norm_expert_scores: bool = _later(True)
    """Whether the scores of those are scaled to sum to 1 (Mixtral), or stay shares of all."""
    shared_ffn_dim: int = _later(0)
    """Width of a network beside the experts that works on every token (Qwen 2 MoE); 0: none."""
    norm: str = _part("layernorm", NORMS, "norms")
    """layernorm, rmsnorm, or zero_centered_rmsnorm, which multiplies by 1 + its weight (Gemma)."""
    norm_eps: float = 1e-5
    """Added to the variance before its square root is taken, so that nothing divides by zero."""
    norm_order: str = _part("pre", NORM_ORDERS, "blocks")
    """Norms before attention and feed-forward (pre), after them (post, OLMo 2), or sandwich; or
    both steps from the same input: parallel (GPT-NeoX), after one norm: parallel_shared (Phi)."""
    qk_norm: str = "none"
    """Norm of queries and keys: none, of each head (Qwen 3), or of their whole width (OLMo 2)."""
    position: str = _part("learned", POSITIONS, "positions")
    """learned vectors, one a position, or rope: rotation of queries and keys."""
    rope_base: float = 10000.0
    """The slowest rotation takes about 2 pi x rope_base positions."""
    rope_local_base: float = 0.0
    """The base of windowed layers where they have one of their own (Gemma 3); 0: rope_base."""
    rope_fraction: float = _later(1.0)
    """Share of a head's width that turns, from its start (GPT-NeoX)."""
    rope_pattern: str = _later("R")
    """Which layers turn, repeated over the layers: R do, N have no positions (SmolLM3)."""
    rope_scaling: str = "none"
    """How rope_base's rotations are slowed for long contexts: none, linear, llama3, yarn or
    longrope."""
    rope_factor: float = 1.0
    """By how much rope_scaling slows."""
    rope_low_freq_factor: float = 1.0
    """llama3, yarn: rotations with fewer turns than this in rope_original_context are slowed."""
    rope_high_freq_factor: float = 4.0
    """llama3, yarn: those with more turns than this are left as they are."""
    rope_original_context: int = 0
    """llama3, yarn: the context before it was extended."""
    rope_truncate: bool = _later(True)
    """yarn: whether the blend begins and ends at whole pairs."""
    rope_attention_factor: float = _later(0.0)
    """yarn, longrope: what turned queries and keys are multiplied by; 0: yarn's usual number,
    0.1 x ln(rope_factor) + 1, and longrope's 1."""
    rope_factors: tuple[float, ...] = _later(())
    """longrope: by how much the rotation of each pair is slowed (Phi 3), at any length of text."""
    window: int | None = None
    """Tokens, itself included, that a token of a windowed layer sees; None: all before it."""
    window_pattern: str = "L"
    """Which layers are windowed, repeated over the layers: L (local) are, G (global) are not."""
    embedding_scale: bool = False
    """Whether token embeddings are multiplied by sqrt(emb_dim) (Gemma)."""
    query_pre_attn_scalar: float = 0.0
    """Attention scores are divided by the square root of this; 0 is head_dim."""
    attention_sinks: bool = _later(False)
    """Whether each head has a learned score for taking nothing (gpt-oss)."""
    attention_softcap: float = 0.0
    """Bound of attention scores, c x tanh(score / c) (Gemma 2); 0: no bound."""
    logit_softcap: float = 0.0
    """Bound of the logits, likewise."""
    head_bias: bool = _later(False)
    """Whether the output head adds a bias (Phi)."""
    tie_embeddings: bool = False
    """Whether the output head is the token embedding itself (Press and Wolf, 2017)."""

    def __post_init__(self) -> None:
        check_types(self)
        self._check_numbers()
        self._derive()
        self._check_choices()
        self._check_attention()

    def _check_numbers(self) -> None:
        for name, value in vars(self).items():
            numbers = value if isinstance(value, tuple) else (value,)
            fits = all(math.isfinite(n) and n >= 0 for n in numbers if isinstance(n, float))
            require(fits, name, value, "0 or a positive number")
        for name in DIMENSIONS:
            value, least = getattr(self, name), int(name in DIMENSIONS[:5])
            expected = f"from {least} to {MAX_DIMENSION:,}"
            require(least <= value <= MAX_DIMENSION, name, value, expected)
        for name in ("n_experts", "n_active_experts", "shared_ffn_dim", "rope_original_context"):
            value = getattr(self, name)
            require(0 <= value <= MAX_DIMENSION, name, value, f"from 0 to {MAX_DIMENSION:,}")
        for name in ("drop_rate", "attention_drop_rate"):
            rate = getattr(self, name)
            require(rate is None or rate < 1.0, name, rate, "from 0 up to below 1")
        require(0.0 < self.norm_eps < 1.0, "norm_eps", self.norm_eps, "a small positive number")
        require(self.rope_base > 1, "rope_base", self.rope_base, "above 1")

    def _derive(self) -> None:
        """Fill in the widths that follow from others."""
        if not self.head_dim and self.emb_dim % self.n_heads:
            small = [n for n in range(1, math.isqrt(self.emb_dim) + 1) if self.emb_dim % n == 0]
            divisors = small + [self.emb_dim // n for n in small]
            near = min(divisors, key=lambda n: (abs(n - self.n_heads), n))
            raise ConfigError(
                f"n_heads = {self.n_heads} does not divide emb_dim = {self.emb_dim}; "
                f"the nearest number that does is {near}"
            )
        derived = {
            "n_kv_heads": self.n_heads,
            "head_dim": self.emb_dim // self.n_heads,
            "ffn_dim": self._usual_ffn_dim,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, getattr(self, name) or value)
            expected = f"from 1 to {MAX_DIMENSION:,}"
            require(getattr(self, name) <= MAX_DIMENSION, name, getattr(self, name), expected)

    def _check_choices(self) -> None:
        for name, (_, known) in part_tables().items():
            value = getattr(self, name)
            expected = f"one of {', '.join(known)}, or another part's name: letters, digits and _"
            require(PART_NAME.fullmatch(value) is not None, name, value, expected)
        for name, known in (("qk_norm", QK_NORMS), ("rope_scaling", ROPE_SCALINGS)):
            value = getattr(self, name)
            require(value in known, name, value, f"one of {', '.join(known)}")
        least, most = min(1, self.n_experts), self.n_experts
        expected = f"from {least} to n_experts = {most}"
        active = self.n_active_experts
        require(least <= active <= most, "n_active_experts", active, expected)
        beside = self.shared_ffn_dim
        require(not beside or self.n_experts > 0, "shared_ffn_dim", beside, "0 without experts")
        pattern = self.window_pattern
        require(pattern != "" and not set(pattern) - {"L", "G"}, "window_pattern", pattern,
                "letters L (local) and G (global)")  # fmt: skip
        require(self.window is None or self.window >= 1, "window", self.window, "1 or more")
        turning = self.rope_pattern
        require(turning != "" and not set(turning) - {"R", "N"}, "rope_pattern", turning,
                "letters R (rotated) and N (not)")  # fmt: skip

    def _check_attention(self) -> None:
        require(self.n_heads % self.n_kv_heads == 0, "n_kv_heads", self.n_kv_heads,
                f"a divisor of n_heads = {self.n_heads}")  # fmt: skip
        if self.position == "rope":
            share = self.rope_fraction
            require(0 < share <= 1, "rope_fraction", share, "above 0, at most 1")
            fits = self.rope_dim % 2 == 0 and self.rope_dim > 0
            require(fits, "head_dim", self.head_dim, f"an even number to turn, not {self.rope_dim}")
            local = self.rope_local_base
            require(local == 0 or local > 1, "rope_local_base", local, "0 or above 1")
        if self.rope_scaling != "none":
            require(self.rope_factor >= 1, "rope_factor", self.rope_factor, "1 or more")
        if self.rope_scaling in ("llama3", "yarn"):
            low, high = self.rope_low_freq_factor, self.rope_high_freq_factor
            require(0 < low < high, "rope_low_freq_factor", low, f"below {high} and above 0")
            original = self.rope_original_context
            require(original > 0, "rope_original_context", original, "the context before scaling")
        if self.rope_scaling == "longrope":
            pairs, factors = self.rope_dim // 2, self.rope_factors
            fits = len(factors) == pairs and all(factor > 0 for factor in factors)
            require(fits, "rope_factors", factors, f"{pairs} numbers above 0, one for each pair")

    @property
    def attention_dropout(self) -> float:
        """The share of attention's weights that is zeroed while training."""
        rate = self.attention_drop_rate
        return self.drop_rate if rate is None else rate

    @property
    def has_dropout(self) -> bool:
        """Whether training draws random numbers, as a part that groundup does not have may."""
        return self.drop_rate > 0 or self.attention_dropout > 0 or bool(foreign_parts(self))

    def window_of(self, layer: int) -> int | None:
        """Return how many tokens a token of `layer` sees, itself included; None: all before it."""
        is_local = self.window_pattern[layer % len(self.window_pattern)] == "L"
        return self.window if is_local else None

    @property
    def rope_dim(self) -> int:
        """Width of the part of a head that turns."""
        return int(self.head_dim * self.rope_fraction)

    def is_rotated(self, layer: int) -> bool:
        """Return whether queries and keys of `layer` turn."""
        turns = self.rope_pattern[layer % len(self.rope_pattern)] == "R"
        return self.position == "rope" and turns

    @property
    def is_gated(self) -> bool:
        """Whether the feed-forward network multiplies by a gate, its third matrix."""
        return self.feed_forward in ("geglu", "swiglu", "clamped_swiglu")

    @property
    def _usual_ffn_dim(self) -> int:
        """4 x emb_dim, or where a third matrix gates, as large in all (Shazeer, 2020), by 32s."""
        return -(-self.emb_dim // 12) * 32 if self.is_gated else 4 * self.emb_dim

    def replace(self, **changes: object) -> GPTConfig:
        """Return a copy with `changes`; derived widths follow what they derive from."""
        resized = changes.keys() & {"emb_dim", "feed_forward"}
        if resized and self.ffn_dim == self._usual_ffn_dim:
            changes.setdefault("ffn_dim", 0)
        resized = changes.keys() & {"emb_dim", "n_heads"}
        if resized and self.head_dim * self.n_heads == self.emb_dim:
            changes.setdefault("head_dim", 0)
        if "n_heads" in changes and self.n_kv_heads == self.n_heads:
            changes.setdefault("n_kv_heads", 0)
        return GPTConfig(**{**vars(self), **changes})


def part_tables() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return for each field that names a part its table and the names that groundup has in it."""
    marks = {f.name: f.metadata for f in fields(GPTConfig) if TABLE in f.metadata}
    return {name: (mark[TABLE], mark[NAMES]) for name, mark in marks.items()}


def foreign_parts(config: GPTConfig) -> dict[str, str]:
    """Return the fields that name a part which groundup does not have, and the names."""
    return {
        name: getattr(config, name)
        for name, (_, known) in part_tables().items()
        if getattr(config, name) not in known
    }
