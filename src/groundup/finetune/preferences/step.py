"""What a model loses on pairs of replies, of which one was chosen: DPO's loss and ORPO's."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from groundup.data.batch import IGNORED
from groundup.model import GPT
from groundup.optim.balance import ExpertBalance, real_tokens
from groundup.optim.fused_loss import token_losses
from groundup.optim.step import Step, with_bias
from groundup.optim.tied import TiedGradient

Numbers = Float[Tensor, "P 2"]
"""Of P pairs, a number for each reply, the chosen one first."""
Counts = Int[Tensor, "P 2"]


def log_probs(
    gpt: GPT,
    tokens: Int[Tensor, "N T"],
    targets: Int[Tensor, "N T"],
    head: Callable[[], Tensor] | None = None,
    chunk_values: int = 0,
) -> Float[Tensor, " N"]:
    """Return the log-probability (nats) of each row's targets that count, summed; 0 without any.

    Sums are those of `token_log_probs`.
    """
    return token_log_probs(gpt, tokens, targets, head, chunk_values).sum(dim=1)


def token_log_probs(
    gpt: GPT,
    tokens: Int[Tensor, "N T"],
    targets: Int[Tensor, "N T"],
    head: Callable[[], Tensor] | None = None,
    chunk_values: int = 0,
    temperature: float = 1.0,
) -> Float[Tensor, "N T"]:
    """Return the log-probability (nats) of each target that counts, and 0 of the others.

    Only these places meet the head, and at most `chunk_values` logits are in memory at a time.
    Numbers are in fp64, since differences of sums are what is learnt from (in fp32 on `mps`, which
    has no fp64). `head` returns what stands in for the model's own; it is asked after the hidden
    states are there, as a `TiedGradient` must be. `temperature` divides the logits.
    """
    counts = targets != IGNORED
    hidden = gpt.hidden_states(tokens)[counts] / temperature  # (M, D)
    weight = gpt.lm_head.weight if head is None else head()
    softcap = gpt.config.logit_softcap / temperature  # c/t tanh((x/t) / (c/t)) = c tanh(x/c) / t
    bias = gpt.lm_head.bias if gpt.lm_head.bias is None else gpt.lm_head.bias[: len(weight)]
    hidden, weight = with_bias(hidden, weight, bias, 1 / temperature)
    losses = token_losses(hidden, weight, targets[counts], softcap, chunk_values)
    number = torch.float32 if tokens.device.type == "mps" else torch.float64
    of_places = torch.zeros(counts.shape, dtype=number, device=tokens.device)
    return -of_places.masked_scatter(counts, losses.to(number))


class PreferenceStep(Step[GPT]):
    """Learn from pairs: a batch is `tokens`, `targets` (B, 2, T), `lengths`, `reference` (B, 2).

    Of the two, the first is the chosen one. `lengths` are the tokens that are no padding. A pair
    counts where both replies have a target that does. While training, a mixture of experts adds
    `balance_loss` times its `ExpertBalance` for each pair.
    """

    def __init__(
        self,
        model: GPT,
        beta: float = 0.1,
        copy_dtype: torch.dtype | None = None,
        balance_loss: float = 0.0,
        loss_chunk: int = 0,
    ) -> None:
        super().__init__(model, copy_dtype)
        self.beta, self.loss_chunk = beta, loss_chunk
        self.tied = TiedGradient(self.worker)
        self.tied.attach(self)
        if balance_loss:
            ExpertBalance(self.worker).attach(self, balance_loss, real_tokens)

    def forward(
        self,
        tokens: Int[Tensor, "B 2 T"],
        targets: Int[Tensor, "B 2 T"],
        lengths: Int[Tensor, "B 2"],
        reference: Float[Tensor, "B 2"],
    ) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """Return (loss_sum in nats, n_pairs)."""
        rows = tokens.flatten(0, 1), targets.flatten(0, 1)
        found = log_probs(self.worker, *rows, self.tied.head_weight, self.loss_chunk)
        n_counted = torch.count_nonzero(targets != IGNORED, dim=-1)  # (B, 2)
        counts = (n_counted > 0).all(dim=-1)
        scores = self.scores(found.view(-1, 2)[counts], reference[counts], n_counted[counts])
        losses = self.losses(scores, found.view(-1, 2)[counts], n_counted[counts])
        number = torch.promote_types(self.worker.lm_head.weight.dtype, torch.float32)
        return losses.sum().to(number), counts.sum()

    def scores(self, found: Numbers, reference: Numbers, n_counted: Counts) -> Numbers:
        """Return the score of each reply by its summed log-probability: the higher, the better."""
        raise NotImplementedError

    def losses(self, scores: Numbers, found: Numbers, n_counted: Counts) -> Float[Tensor, " P"]:
        """Return the loss of each pair by the scores of its replies."""
        return -F.logsigmoid(scores[:, 0] - scores[:, 1])


class DPOStep(PreferenceStep):
    """Prefer the chosen reply by more than the reference model does.

    -log sigmoid(beta ((pi_c - ref_c) - (pi_r - ref_r))): Rafailov et al., 2023, "Direct preference
    optimization", equation 7. The lower `beta`, the farther the model may go from the reference. It
    begins at log 2, where the model is its reference and has no dropout.
    """

    def scores(self, found: Numbers, reference: Numbers, n_counted: Counts) -> Numbers:
        """Return the reward of each reply, beta (pi - ref)."""
        return self.beta * (found - reference)


class ORPOStep(PreferenceStep):
    """Learn the chosen reply, and make the odds of the rejected one lower; no reference is used.

    With P the geometric mean of a reply's probabilities and odds P / (1 - P), the loss is
    -log P_c - beta * log sigmoid(log(odds_c / odds_r)): Hong et al., 2024, "ORPO: Monolithic
    preference optimization without reference model", equations 6 and 7.
    """

    def scores(self, found: Numbers, reference: Numbers, n_counted: Counts) -> Numbers:
        """Return the logarithm of the odds of each reply."""
        means = found / n_counted
        # A reply that is certain has infinite odds.
        return means - torch.log(-torch.expm1(means.clamp(max=-1e-7)))

    def losses(self, scores: Numbers, found: Numbers, n_counted: Counts) -> Float[Tensor, " P"]:
        """Return the loss of each pair."""
        return self.beta * super().losses(scores, found, n_counted) - (
            found[:, 0] / n_counted[:, 0]
        )
