"""The model together with its loss: the one module that everything wraps."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundup.model import GPT
from groundup.train.balance import ExpertBalance
from groundup.train.loss import IGNORED, fused_loss, plain_loss
from groundup.train.tied import TiedGradient

FEW_LOGITS = 1 << 18
"""So few (1 MiB) are computed all at once: there is nothing to save, and fewer calls are faster."""


class TrainStep(nn.Module):
    """Compute the summed loss of a batch and how many targets it counts.

    A sum and a count, not a mean: the sums of micro-batches and ranks add up exactly and are
    divided once by the global count. While training, a mixture of experts adds `balance_loss`
    times its `ExpertBalance` for each target.
    """

    def __init__(
        self, model: GPT, loss: str = "fused", balance_loss: float = 0.0, loss_chunk: int = 0
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = partial(fused_loss, chunk_values=loss_chunk) if loss == "fused" else plain_loss
        self.balance = ExpertBalance(model)
        self.balance_loss = balance_loss
        self.tied = TiedGradient(model)

    def forward(
        self, tokens: Int[Tensor, "B T"], targets: Int[Tensor, "B T"]
    ) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """Return (loss_sum in nats, n_targets)."""
        self.balance.forget()
        with self.tied.joined():
            hidden = self.model.hidden_states(tokens).flatten(0, 1)  # (B * T, D)
        targets = targets.flatten()
        config = self.model.config
        few = len(targets) * config.vocab_size <= FEW_LOGITS
        loss = plain_loss if few else self.loss
        loss_sum = loss(hidden, self.tied.head_weight(), targets, config.logit_softcap)
        n_targets = torch.count_nonzero(targets != IGNORED)
        return loss_sum + self.balance_loss * self.balance.take() * n_targets, n_targets
