"""A loss that keeps a mixture's experts evenly busy, hooked on to the routers from outside."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundup.model import GPT, MixtureOfExperts


class ExpertBalance:
    """Collects what the routers of `model` say while it trains, and scores how even it is.

    For a layer with E experts, of which k work on a token, the loss is E sum_e f_e p_e: f_e is
    the share of tokens sent to expert e, p_e the mean of its softmax (Fedus et al., 2021,
    equations 4 to 6). It is k when all are equally busy. Without experts there is nothing to
    collect and the loss is 0.
    """

    def __init__(self, model: GPT) -> None:
        self.scores: list[Tensor] = []
        self.n_active = model.config.n_active_experts
        for module in model.modules():
            if isinstance(module, MixtureOfExperts):
                module.router.register_forward_hook(self._collect)

    def _collect(self, router: nn.Module, inputs: object, scores: Tensor) -> None:
        if router.training:
            self.scores.append(scores)

    def forget(self) -> None:
        """Drop what was said meanwhile: checkpointed blocks ask their routers twice."""
        self.scores.clear()

    def take(self) -> Float[Tensor, ""] | float:
        """Return the mean loss of the layers since the last call."""
        losses = [self._of_layer(scores.float()) for scores in self.scores]
        self.forget()
        return torch.stack(losses).mean() if losses else 0.0

    def _of_layer(self, scores: Float[Tensor, "M E"]) -> Float[Tensor, ""]:
        n_tokens, n_experts = scores.shape
        chosen = scores.topk(self.n_active, dim=-1).indices.flatten()
        busy = torch.bincount(chosen, minlength=n_experts) / n_tokens  # (E,)
        return n_experts * (busy * scores.softmax(dim=-1).mean(dim=0)).sum()
