"""The model together with its loss: the one module that everything wraps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundup.model import GPT
from groundup.optim.balance import ExpertBalance
from groundup.optim.cross_entropy import IGNORED, fused_loss, plain_loss
from groundup.optim.narrow import NarrowCopy
from groundup.optim.tied import TiedGradient

T = TypeVar("T")

FEW_LOGITS = 1 << 18
"""So few (1 MiB) are computed all at once: there is nothing to save, and fewer calls are faster."""


class TrainStep(nn.Module):
    """Compute the summed loss of a batch and how many targets it counts.

    A sum and a count, not a mean: the sums of micro-batches and ranks add up exactly and are
    divided once by the global count. While training, a mixture of experts adds `balance_loss`
    times its `ExpertBalance` for each target. With `copy_dtype`, a `NarrowCopy` computes.
    """

    def __init__(
        self,
        model: GPT,
        loss: str = "fused",
        balance_loss: float = 0.0,
        loss_chunk: int = 0,
        copy_dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.narrow = None if copy_dtype is None else NarrowCopy(model, copy_dtype)
        self.loss = partial(fused_loss, chunk_values=loss_chunk) if loss == "fused" else plain_loss
        self.balance = ExpertBalance(self.worker)
        self.balance_loss = balance_loss
        self.tied = TiedGradient(self.worker)

    @property
    def worker(self) -> GPT:
        """The model that computes: the given one, or its narrow copy."""
        return self.model if self.narrow is None else self.narrow.model

    def refresh(self) -> None:
        """Let what computes know that the weights have changed."""
        if self.narrow is not None:
            self.narrow.refresh()

    def collect(self) -> None:
        """Let the weights have the gradients, where another model computed them."""
        if self.narrow is not None:
            self.narrow.hand_over()

    def within(self, function: Callable[[], T]) -> T:
        """Call `function`: what wraps this module can make it a kind of forward pass."""
        return function()

    def forward(
        self, tokens: Int[Tensor, "B T"], targets: Int[Tensor, "B T"]
    ) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """Return (loss_sum in nats, n_targets)."""
        self.balance.forget()
        worker, targets = self.worker, targets.flatten()
        with self.tied.joined():
            hidden = worker.hidden_states(tokens).flatten(0, 1)  # (B * T, D)
        config = worker.config
        few = len(targets) * config.vocab_size <= FEW_LOGITS
        loss = plain_loss if few else self.loss
        loss_sum = loss(hidden, self.tied.head_weight(), targets, config.logit_softcap)
        n_targets = torch.count_nonzero(targets != IGNORED)
        return loss_sum + self.balance_loss * self.balance.take() * n_targets, n_targets
