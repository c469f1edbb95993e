"""The feed-forward network: what a token does, by itself, with what attention gathered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from groundup.config import GPTConfig
from groundup.model.parts import make_part

Activation = Callable[[Tensor], Tensor]

gelu_tanh = partial(F.gelu, approximate="tanh")
"""GELU (Hendrycks and Gimpel, 2016) in the tanh form that GPT-2 was trained with."""


def relu_squared(x: Tensor) -> Tensor:
    """Return the square of what is positive, 0 for the rest (So et al., 2021)."""
    return F.relu(x).square()


class FeedForward(nn.Module):
    """Widen each token's vector to F, apply the activation, and bring it back to D."""

    def __init__(self, config: GPTConfig, activation: Activation) -> None:
        super().__init__()
        self.up = nn.Linear(config.emb_dim, config.ffn_dim, bias=config.bias)
        self.down = nn.Linear(config.ffn_dim, config.emb_dim, bias=config.bias)
        self.dropout = nn.Dropout(config.drop_rate)
        self.activation = activation

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Return the transformed vectors."""
        return self.dropout(self.down(self.activation(self.up(x))))


class GatedFeedForward(nn.Module):
    """Do as `FeedForward`, with the activation on a gate that multiplies (Shazeer, 2020)."""

    def __init__(self, config: GPTConfig, activation: Activation) -> None:
        super().__init__()
        self.gate = nn.Linear(config.emb_dim, config.ffn_dim, bias=config.bias)
        self.up = nn.Linear(config.emb_dim, config.ffn_dim, bias=config.bias)
        self.down = nn.Linear(config.ffn_dim, config.emb_dim, bias=config.bias)
        self.dropout = nn.Dropout(config.drop_rate)
        self.activation = activation

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Return the transformed vectors."""
        return self.dropout(self.down(self.activation(self.gate(x)) * self.up(x)))


class ClampedFeedForward(GatedFeedForward):
    """Bound both factors, and add 1 to the one without activation (gpt-oss, 2025)."""

    limit, slope = 7.0, 1.702

    def __init__(self, config: GPTConfig) -> None:
        super().__init__(config, torch.sigmoid)

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Return the transformed vectors."""
        gate = self.gate(x).clamp(max=self.limit)
        up = self.up(x).clamp(-self.limit, self.limit)
        return self.dropout(self.down((up + 1) * gate * self.activation(self.slope * gate)))


Network = Callable[[GPTConfig], nn.Module]

FEED_FORWARDS: dict[str, Network] = {
    "gelu": partial(FeedForward, activation=F.gelu),
    "gelu_tanh": partial(FeedForward, activation=gelu_tanh),
    "relu": partial(FeedForward, activation=F.relu),
    "relu_squared": partial(FeedForward, activation=relu_squared),
    "geglu": partial(GatedFeedForward, activation=gelu_tanh),
    "swiglu": partial(GatedFeedForward, activation=F.silu),
    "clamped_swiglu": ClampedFeedForward,
}


class MixtureOfExperts(nn.Module):
    """Send each token to the few of E networks that a router scores best (Shazeer et al., 2017).

    The chosen experts' outputs are added up, weighted by their scores' softmax: among each other,
    as in Mixtral (Jiang et al., 2024), or among all. One more network may work on every token,
    as much as its own gate lets through. A loss that keeps the experts evenly busy needs only the
    router's output, and so hooks on to `router` from outside.
    """

    def __init__(
        self, config: GPTConfig, feed_forwards: Mapping[str, Network] = FEED_FORWARDS
    ) -> None:
        super().__init__()
        self.n_active = config.n_active_experts
        self.router = nn.Linear(config.emb_dim, config.n_experts, bias=config.router_bias)
        self.experts = nn.ModuleList(
            build_network(config, feed_forwards) for _ in range(config.n_experts)
        )
        self.is_normed = config.norm_expert_scores
        self.has_shared = config.shared_ffn_dim > 0
        if self.has_shared:
            wide = config.replace(ffn_dim=config.shared_ffn_dim)
            self.shared = build_network(wide, feed_forwards)
            self.shared_gate = nn.Linear(config.emb_dim, 1, bias=False)

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Return the weighted sum of what each vector's experts make of it."""
        tokens = x.reshape(-1, x.shape[-1])  # (M, D)
        scores = self.router(tokens).softmax(dim=-1, dtype=torch.float32)  # (M, E)
        weights, chosen = scores.topk(self.n_active, dim=-1)  # (M, n_active)
        if self.is_normed:
            weights = weights / weights.sum(dim=-1, keepdim=True)
        weights = weights.type_as(x)
        mixed = torch.zeros_like(tokens)
        # While training every expert is called, if with no token, so that each has a gradient.
        called = range(len(self.experts)) if self.training else chosen.unique().tolist()
        for i in called:
            rows, place = (chosen == i).nonzero(as_tuple=True)
            output = self.experts[i](tokens[rows]) * weights[rows, place, None]
            mixed = mixed.index_add(0, rows, output.type_as(mixed))
        if self.has_shared:
            mixed = mixed + self.shared_gate(tokens).sigmoid() * self.shared(tokens)
        return mixed.view_as(x)


def build_feed_forward(
    config: GPTConfig, feed_forwards: Mapping[str, Network] = FEED_FORWARDS
) -> nn.Module:
    """Return the network that `config` names, or a mixture of them."""
    if config.n_experts:
        return MixtureOfExperts(config, feed_forwards)
    return build_network(config, feed_forwards)


def build_network(config: GPTConfig, feed_forwards: Mapping[str, Network]) -> nn.Module:
    """Return the one network, or expert, that `config` names."""
    return make_part("feed_forward", feed_forwards, config.feed_forward, config)
