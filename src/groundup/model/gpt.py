"""The whole model: tokens in, a score for every possible next token out."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundup.attend import Attend, fused_attention, soft_cap
from groundup.config import GPTConfig
from groundup.model.attention import NO_CACHE, Cache
from groundup.model.block import PARTS
from groundup.model.checks import (
    check_attend,
    check_config,
    check_parts,
    check_tokens,
    unknown_token,
)
from groundup.model.init import init_weights
from groundup.model.norms import build_norm
from groundup.model.parts import Parts, make_part


class OutputHead(nn.Linear):
    """Score every token of the vocabulary, within a bound where the config has one."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__(config.emb_dim, config.vocab_size, bias=config.head_bias)
        self.cap = soft_cap(config.logit_softcap)

    def forward(self, hidden: Float[Tensor, "*B D"]) -> Float[Tensor, "*B V"]:
        """Return the logits."""
        return self.cap(super().forward(hidden))


class GPT(nn.Module):
    """A decoder-only transformer: GPT-2's (Radford et al., 2019), or what `config` makes of it.

    `attend` chooses how attention is computed: fused by default, or `plain_attention`, which
    gives the same numbers one readable step at a time. `parts` has the parts that `config` names;
    see `groundup.model.parts` for how to add one. Raises `ConfigError` for a name that it lacks.
    """

    def __init__(
        self, config: GPTConfig, attend: Attend = fused_attention, parts: Parts = PARTS
    ) -> None:
        super().__init__()
        check_config(config)
        check_attend(attend)
        check_parts(config, parts)
        self.config = config
        self.parts = parts
        self.embedding_scale = math.sqrt(config.emb_dim) if config.embedding_scale else 1.0
        self.token_embedding = nn.Embedding(config.vocab_size, config.emb_dim)
        self.position_embedding: Any = make_part(
            "position", parts.positions, config.position, config
        )
        self.dropout = nn.Dropout(config.drop_rate)
        self.blocks = nn.ModuleList(
            make_part("norm_order", parts.blocks, config.norm_order, config, i, attend, parts)
            for i in range(config.n_layers)
        )
        self.final_norm = build_norm(config, norms=parts.norms)
        self.lm_head = OutputHead(config)
        self.tie_weights()
        init_weights(self, config)

    def tie_weights(self) -> None:
        """Make the output head the token embedding itself, where the config asks for it."""
        if self.config.tie_embeddings:
            self.lm_head.weight = self.token_embedding.weight

    def hidden_states(
        self, tokens: Int[Tensor, "B T"], cache: Cache = NO_CACHE
    ) -> Float[Tensor, "B T D"]:
        """Return the normalised vector of each token after the last block."""
        n_new = check_tokens(tokens, self.config.context_length)
        positions = cache.positions(n_new)
        x = self.embedded(tokens) * self.embedding_scale  # (B, T, D)
        x = self.dropout(self.position_embedding(x, positions))
        rotations = self.position_embedding.rotations(positions, x.device)
        for block, rotate in zip(self.blocks, rotations, strict=True):
            x = block(x, cache, rotate)
        cache.advance(n_new)
        return self.final_norm(x)

    def embedded(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Return the vector of each token; on a CPU, one beyond the vocabulary is named."""
        try:
            vectors: Tensor = self.token_embedding(tokens)
        except IndexError:
            raise unknown_token(tokens, self.config.vocab_size) from None
        return vectors

    def forward(
        self, tokens: Int[Tensor, "B T"], cache: Cache = NO_CACHE
    ) -> Float[Tensor, "B T V"]:
        """Return the logits of the token that follows each of `tokens`."""
        return self.lm_head(self.hidden_states(tokens, cache))

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def extra_repr(self) -> str:
        """Show the size, counted in the model as it is, in the first line of the printed model."""
        c = self.config
        count = sum(parameter.numel() for parameter in self.parameters())
        count += sum(getattr(module, "n_quantized", 0) for module in self.modules())
        tied = "tied" if c.tie_embeddings else "untied"
        return (
            f"{count:,} parameters ({tied}), {len(self.blocks)} layers x {c.emb_dim} wide, "
            f"{c.n_heads} heads, context {c.context_length:,}, vocabulary {c.vocab_size:,}"
        )
