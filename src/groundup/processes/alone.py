"""The processes that train one model together, as the loop sees them: here, only this one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from groundup.base.errors import UsageError
from groundup.config import Recipe, TrainConfig
from groundup.model import GPT

T = TypeVar("T")

Pass = tuple[int, int]
"""The first sample of a forward and backward pass, counted from the step's first, and how many."""
HowFar = Callable[[], tuple[int, float]]
"""Tells the steps that a training has taken, and how many seconds each of the last took at most."""


class UnequalShares(UsageError):  # noqa: N818 - what each of the processes finds
    """A step that so many processes cannot share."""

    known_to_all = True


class Alone:
    """A single process: its part is the whole, and nobody has to be asked.

    `processes/distributed.py` has the others, with the same methods.
    """

    rank = 0
    size = 1
    divisor = 1.0
    """By how much gradients come out smaller than the sum over all samples of a step."""

    def passes(self, config: TrainConfig) -> list[Pass]:
        """Return this process's passes of a step."""
        return equal_passes(config, self.rank, self.size)

    def wrap(
        self, step: nn.Module, blocks: Sequence[nn.Module] = (), may_leave_unused: bool = False
    ) -> Callable[..., tuple[Tensor, Tensor]]:
        """Return what to call for a forward pass of `step`, so that gradients are synchronised.

        `blocks` are the parts of it that may be sharded by themselves. A pass `may_leave_unused`
        some of the parameters that learn: without a gradient.
        """
        return step

    def pass_context(self, last: bool) -> AbstractContextManager[Any]:
        """Return the context of a pass: gradients are synchronised in the last one only."""
        return nullcontext()

    def after_pass(self, parameters: list[nn.Parameter], last: bool) -> None:
        """Receive that a pass is done, whose gradients are in the parameters."""

    def total(self, rows: list[Tensor]) -> Tensor:
        """Return the sum of the rows (n,) of all passes of all processes."""
        return torch.stack(rows).sum(dim=0)

    def add(self, values: Tensor) -> Tensor:
        """Return the sum of each process's `values`."""
        return values

    def norm(self, gradients: list[Tensor]) -> Tensor:
        """Return the norm of the whole gradient."""
        return nn.utils.get_total_norm(gradients)

    def broadcast(self, decide: Callable[[], T]) -> T:
        """Let the first process decide something, as plain JSON; return it in every one."""
        return decide()

    def watch(self, how_far: HowFar) -> None:
        """Note what to ask, when something happens, how far the training is."""

    def stopping(self) -> None:
        """Note that all have agreed to stop."""

    def within(self, function: Callable[[], T]) -> T:
        """Call a function that uses the model itself; all processes call it at once."""
        return function()

    def writer(self, model: GPT) -> GPT:
        """Return a model to write with in the first process: the same, or one like it."""
        return model

    def agree(self, *wishes: int) -> tuple[int, ...]:
        """Return the largest of each wish that any process has."""
        return wishes

    def local(self, tensor: Tensor) -> Tensor:
        """Return what this process has of a tensor that may be spread, in the same memory."""
        return tensor

    def whole(self, part: Tensor, like: Tensor) -> Tensor:
        """Return the whole of which each process has a part, spread as `like` is."""
        return part

    def part_of(self, whole: Tensor, like: Tensor) -> Tensor:
        """Return this process's part of a whole tensor, spread as `like` is."""
        return whole


ALONE = Alone()


def equal_passes(config: Recipe, rank: int, size: int) -> list[Pass]:
    """Divide a step's samples among `size` processes; return the passes of one of them.

    A step learns from the same samples whatever the number of processes: the config's batch_size
    times accumulation. Each has an equal run of them, in as few equal passes of at most batch_size
    as there can be.
    """
    total = config.sequences_per_step
    if total % size:
        raise UnequalShares(
            f"batch_size = {config.batch_size} times accumulation = {config.accumulation} is "
            f"{total} sequences a step, which {size} processes cannot share equally; give a "
            f"multiple of {size}"
        )
    own = total // size
    fewest = -(-own // config.batch_size)
    n = next(n for n in range(fewest, own + 1) if own % n == 0)
    return [(rank * own + i * (own // n), own // n) for i in range(n)]
