"""What a classifier loses on a batch: the cross entropy of the true labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundup.finetune.classifier.model import Classifier
from groundup.optim.balance import ExpertBalance, real_tokens
from groundup.optim.step import Step


class ClassifyStep(Step[Classifier]):
    """Decide about texts: a batch is `tokens` (B, T), `lengths`, `labels` and `weights` (B).

    While training, a mixture of experts adds `balance_loss` times its `ExpertBalance` for each
    text.
    """

    def __init__(
        self,
        model: Classifier,
        copy_dtype: torch.dtype | None = None,
        balance_loss: float = 0.0,
    ) -> None:
        super().__init__(model, copy_dtype)
        if balance_loss:
            ExpertBalance(self.worker).attach(self, balance_loss, real_tokens)

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        lengths: Int[Tensor, " B"],
        labels: Int[Tensor, " B"],
        weights: Float[Tensor, " B"],
    ) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """Return (loss_sum in nats, n_texts); the weights of all texts are 1 in the mean."""
        return summed_loss(self.worker(tokens, lengths), labels, weights)

    def kept(self) -> dict[str, nn.Parameter]:
        """Return all, or what learns where the rest comes from a base."""
        return {
            name: parameter
            for name, parameter in self.model.stored().items()
            if self.keeps_frozen or parameter.requires_grad
        }


class HeadStep(ClassifyStep):
    """Decide about texts by their vectors, which stay as they are: nothing but the head learns."""

    def forward(  # type: ignore[override]
        self,
        vectors: Float[Tensor, "B D"],
        labels: Int[Tensor, " B"],
        weights: Float[Tensor, " B"],
    ) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """Return (loss_sum in nats, n_texts)."""
        return summed_loss(self.worker.scores(vectors), labels, weights)


def summed_loss(
    scores: Float[Tensor, "B C"], labels: Int[Tensor, " B"], weights: Float[Tensor, " B"]
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """Return the weighted sum of the cross entropies (nats), and of how many texts."""
    losses = F.cross_entropy(scores.float(), labels, reduction="none")
    return (losses * weights).sum(), torch.tensor(len(labels), device=labels.device)
