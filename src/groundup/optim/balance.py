"""A loss that keeps a mixture's experts evenly busy, hooked on to the routers from outside."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from groundup.model import MixtureOfExperts


def real_tokens(
    *, tokens: Int[Tensor, "*B T"], lengths: Int[Tensor, "*B"], **others: Tensor
) -> Bool[Tensor, "*B T"]:
    """Return which tokens of a batch are no padding, as `ExpertBalance.attach` asks for."""
    return torch.arange(tokens.shape[-1], device=tokens.device) < lengths[..., None]


class ExpertBalance:
    """Collects the scores of `model`'s routers while it trains, and rates how even they are.

    For a layer with E experts, of which k work on a token, the loss is E sum_e f_e p_e: f_e is
    the share of tokens sent to expert e, p_e the mean of its softmax (Fedus et al., 2021,
    equations 4 to 6). It is k when all are equally busy. Without experts there is nothing to
    collect and the loss is 0.
    """

    def __init__(self, model: nn.Module) -> None:
        self.scores: list[Tensor] = []
        self.n_active = 0
        self._hooks = []
        for module in model.modules():
            if isinstance(module, MixtureOfExperts):
                self.n_active = module.n_active
                self._hooks.append(module.router.register_forward_hook(self._collect))

    def attach(
        self, step: nn.Module, weight: float, real: Callable[..., Tensor] | None = None
    ) -> None:
        """Add `weight` times the loss, for each target, to the sum that `step` returns.

        `real` takes a batch by its names, as `step` then does, and returns which of its tokens are
        no padding (B, T).
        The model outlives the step: its routers are left as they were when there is no more step.
        """
        if not self.n_active:
            return

        def forget(step: nn.Module, given: object) -> None:
            self.scores.clear()  # checkpointed blocks have asked their routers twice

        def add(step: nn.Module, given: Any, named: Any, result: tuple[Tensor, Tensor]) -> Any:
            loss_sum, n_targets = result
            if real is not None:
                rows = real(*given, **named).flatten()
                self.scores = [scores[rows] for scores in self.scores]
            return loss_sum + weight * self.take() * n_targets, n_targets

        weakref.finalize(step, self._leave).atexit = False
        step.register_forward_pre_hook(forget)
        step.register_forward_hook(add, with_kwargs=True)

    def _leave(self) -> None:
        """Let the routers go: they would fill a list that nobody empties."""
        for hook in self._hooks:
            hook.remove()
        self.scores.clear()

    def _collect(self, router: nn.Module, inputs: object, scores: Tensor) -> None:
        if router.training:
            self.scores.append(scores)

    def take(self) -> Float[Tensor, ""] | float:
        """Return the mean loss of the layers since the last call."""
        losses = [self._of_layer(scores.float()) for scores in self.scores]
        self.scores.clear()
        return torch.stack(losses).mean() if losses else 0.0

    def _of_layer(self, scores: Float[Tensor, "M E"]) -> Float[Tensor, ""]:
        n_tokens, n_experts = scores.shape
        chosen = scores.topk(self.n_active, dim=-1).indices.flatten()
        busy = torch.bincount(chosen, minlength=n_experts) / n_tokens  # (E,)
        return n_experts * (busy * scores.softmax(dim=-1).mean(dim=0)).sum()
