"""What an assistant loses on a batch: the next tokens of replies, and nothing of the rest."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from groundup.data.batch import IGNORED
from groundup.finetune.assistant.packing import attention_within
from groundup.optim.balance import real_tokens
from groundup.optim.fused_loss import filled_up
from groundup.optim.step import TrainStep


class InstructStep(TrainStep):
    """Predict what replies say next: a batch is `tokens`, `targets`, `positions`, `lengths` (B).

    The head is computed for targets that count alone: of a prompt nothing is predicted.
    """

    real = staticmethod(real_tokens)

    def forward(  # type: ignore[override]
        self,
        tokens: Int[Tensor, "B T"],
        targets: Int[Tensor, "B T"],
        positions: Int[Tensor, "B T"],
        lengths: Int[Tensor, " B"],
    ) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """Return (loss_sum in nats, n_targets)."""
        hidden = self.worker.hidden_states(tokens, attention_within(positions))  # (B, T, D)
        counted = targets != IGNORED
        return self.loss_of(*filled_up(hidden[counted], targets[counted], IGNORED))
