"""The shape of a model, in the vocabulary of the field."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from groundup.base.errors import ConfigError
from groundup.config.fields import require

MAX_DIMENSION = 1 << 24
"""No dimension of a real model comes near this; beyond it a number is a slip of the keyboard."""


@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """The numbers that determine every tensor of a GPT (defaults: the workshop's 124M model).

    Raises `ConfigError`, one line naming the field, for a value that no model can have.
    """

    vocab_size: int = 50257
    """Number of different tokens."""
    context_length: int = 1024
    """Most tokens the model can see at once."""
    emb_dim: int = 768
    """Width of the vector that stands for a token on its way through the blocks."""
    n_heads: int = 12
    """Attention heads in a block; each is emb_dim / n_heads wide."""
    n_layers: int = 12
    """Number of transformer blocks."""
    drop_rate: float = 0.0
    """Share of activations zeroed while training: after embeddings, attention and feed-forward."""
    qkv_bias: bool = False
    """Whether the query, key and value projections add a bias (OpenAI's GPT-2 does)."""
    ffn_dim: int | None = None
    """Width inside the feed-forward network; None is 4 x emb_dim, as in GPT-2."""
    norm_eps: float = 1e-5
    """Added to the variance before its square root is taken, so that nothing divides by zero."""
    tie_embeddings: bool = False
    """Whether the output head is the token embedding itself (Press and Wolf, 2017)."""

    def __post_init__(self) -> None:
        limit = f"from 1 to {MAX_DIMENSION:,}"
        for name in ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers"):
            value = getattr(self, name)
            require(0 < value <= MAX_DIMENSION, name, value, limit)
        if self.ffn_dim is None:
            object.__setattr__(self, "ffn_dim", 4 * self.emb_dim)
        require(0 < self.ffn_width <= MAX_DIMENSION, "ffn_dim", self.ffn_dim, limit)
        require(0.0 <= self.drop_rate < 1.0, "drop_rate", self.drop_rate, "from 0 up to below 1")
        require(0.0 < self.norm_eps < 1.0, "norm_eps", self.norm_eps, "a small positive number")
        if self.emb_dim % self.n_heads:
            divisors = [n for n in range(1, self.emb_dim + 1) if self.emb_dim % n == 0]
            near = min(divisors, key=lambda n: (abs(n - self.n_heads), n))
            raise ConfigError(
                f"n_heads = {self.n_heads} does not divide emb_dim = {self.emb_dim}; "
                f"the nearest number that does is {near}"
            )

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.emb_dim // self.n_heads

    @property
    def ffn_width(self) -> int:
        """`ffn_dim` with its default filled in."""
        return self.ffn_dim if self.ffn_dim is not None else 4 * self.emb_dim

    def replace(self, **changes: object) -> GPTConfig:
        """Return a copy with `changes`; a default feed-forward width follows emb_dim."""
        if "emb_dim" in changes and self.ffn_dim == 4 * self.emb_dim:
            changes.setdefault("ffn_dim", None)
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]
