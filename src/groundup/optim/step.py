"""The model together with its loss: the one module that everything wraps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from groundup.config import foreign_parts
from groundup.data.batch import IGNORED
from groundup.model import GPT, soft_cap
from groundup.optim.balance import ExpertBalance
from groundup.optim.fused_loss import fused_loss
from groundup.optim.narrow import NarrowCopy
from groundup.optim.tied import TiedGradient

T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)

FEW_LOGITS = 1 << 18
"""So few (1 MiB) are computed all at once: there is nothing to save, and fewer calls are faster."""


def plain_loss(
    hidden: Float[Tensor, "M D"],
    weight: Float[Tensor, "V D"],
    targets: Int[Tensor, " M"],
    softcap: float = 0.0,
) -> Float[Tensor, ""]:
    """Return the cross entropy (nats) of what came next, summed; all logits are in memory."""
    logits = soft_cap(softcap)(hidden @ weight.T)  # (M, V)
    return F.cross_entropy(logits.float(), targets, ignore_index=IGNORED, reduction="sum")


class Step(nn.Module, Generic[M]):
    """The base of every training step: a model, to whose `worker` a subclass adds the loss.

    `forward` takes a batch's arrays by their names, and returns (loss_sum in nats, n_targets): a
    sum and a count, not a mean, so that the sums of micro-batches and ranks add up exactly and are
    divided once by the global count. Where no target counts, the sum and its gradients must be 0.
    With `copy_dtype`, a `NarrowCopy` of the model computes. Parameters that require no gradient do
    not learn.
    """

    def __init__(self, model: M, copy_dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.model = model
        self.narrow = None if copy_dtype is None else NarrowCopy(model, copy_dtype)
        self.keeps_frozen = True
        """Whether a checkpoint holds what does not learn, too: where no base has it."""
        self.loss: Callable[..., Tensor] = plain_loss
        """What takes hidden states, head, targets and cap; a `fused_loss` is compiled on a GPU."""

    @property
    def worker(self) -> M:
        """The model that computes: the given one, or its narrow copy."""
        return self.model if self.narrow is None else self.narrow.model

    @property
    def blocks(self) -> list[nn.Module]:
        """The blocks of what computes: compiled, checkpointed and sharded each by itself."""
        return [block for gpt in _gpts(self.worker) for block in gpt.blocks]

    @property
    def has_dropout(self) -> bool:
        """Whether a pass draws random numbers, which are then the same after a resume.

        Known of dropout; a step that draws others says so itself.
        """
        own = (m.p > 0 for m in self.modules() if isinstance(m, _DropoutNd))
        return any(gpt.config.has_dropout for gpt in _gpts(self.model)) or any(own)

    @property
    def may_leave_unused(self) -> bool:
        """Whether a pass may leave a parameter that learns without a gradient, as experts are.

        A part that groundup does not have may do so, too.
        """
        configs = [gpt.config for gpt in _gpts(self.model)]
        return any(config.n_experts > 0 or foreign_parts(config) for config in configs)

    def kept(self) -> dict[str, nn.Parameter]:
        """Return what a checkpoint holds, by its names there.

        What learns must be among it. The rest is left out where it comes from elsewhere.
        """
        named = self.model.named_parameters()
        return {name: p for name, p in named if self.keeps_frozen or p.requires_grad}

    def refresh(self) -> None:
        """Let what computes know that the weights have changed."""
        if self.narrow is not None:
            self.narrow.refresh()

    def collect(self) -> None:
        """Let the weights have the gradients, where another model computed them."""
        if self.narrow is not None:
            self.narrow.add_gradients()

    def within(self, function: Callable[[], T]) -> T:
        """Call `function`; FSDP, where it wraps this, treats that as a forward pass."""
        return function()


class TrainStep(Step[GPT]):
    """Predict each next token: a batch is `tokens` and `targets`, each (B, T).

    While training, a mixture of experts adds `balance_loss` times its `ExpertBalance` for each
    target.
    """

    real: Callable[..., Tensor] | None = None
    """Takes a batch by its names, and returns which of its tokens (B, T) are no padding; None
    where all are."""

    def __init__(
        self,
        model: GPT,
        loss: str = "fused",
        balance_loss: float = 0.0,
        loss_chunk: int = 0,
        copy_dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(model, copy_dtype)
        if loss == "fused":
            self.loss = partial(fused_loss, chunk_values=loss_chunk)
        self.tied = TiedGradient(self.worker)
        self.tied.attach(self)
        ExpertBalance(self.worker).attach(self, balance_loss, self.real)

    def forward(
        self, tokens: Int[Tensor, "B T"], targets: Int[Tensor, "B T"]
    ) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """Return (loss_sum in nats, n_targets)."""
        hidden = self.worker.hidden_states(tokens).flatten(0, 1)  # (B * T, D)
        return self.loss_of(hidden, targets.flatten())

    def loss_of(
        self, hidden: Float[Tensor, "M D"], targets: Int[Tensor, " M"]
    ) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
        """Return the summed loss (nats) of what the model made of so many places, and a count."""
        config = self.worker.config
        few = len(targets) * config.vocab_size <= FEW_LOGITS
        loss = plain_loss if few else self.loss
        head = with_bias(hidden, self.tied.head_weight(), self.worker.lm_head.bias)
        loss_sum = loss(*head, targets, config.logit_softcap)
        return loss_sum, torch.count_nonzero(targets != IGNORED)


def with_bias(
    hidden: Float[Tensor, "M D"],
    weight: Float[Tensor, "V D"],
    bias: Float[Tensor, " V"] | None,
    factor: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Return what the head multiplies; with its bias, times `factor`, as one column more."""
    if bias is None:
        return hidden, weight
    column = torch.full_like(hidden[:, :1], factor)
    return torch.cat((hidden, column), 1), torch.cat((weight, bias[:, None].type_as(weight)), 1)


def _gpts(model: nn.Module) -> list[GPT]:
    """Return the GPTs in a model, which may itself be one."""
    return [module for module in model.modules() if isinstance(module, GPT)]
