"""How a model learns from one global batch: its gradient, gathered pass by pass, and the move."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from groundup.data import Source
from groundup.device.allocator import give_back
from groundup.device.transfer import to_device
from groundup.optim.activation_checkpointing import checkpoint_blocks
from groundup.optim.compiled import compile_step
from groundup.optim.optimizer import build_optimizer
from groundup.optim.optimizer_state import optimizer_tensors, restore_optimizer
from groundup.optim.step import Step
from groundup.processes.alone import ALONE, Alone
from groundup.train.choices import Choices
from groundup.train.job_checks import check_step, checked_rows
from groundup.train.listener import Tensors

GIVE_BACK_EVERY = 4
"""Steps after which a mixture's freed memory goes back: its experts have other numbers of tokens in
each step, and the holes of such blocks grow from step to step (benchmarks/NOTES.md)."""


class Gradient(NamedTuple):
    """What is known of a global batch's gradient beside itself: numbers on the device."""

    loss: Tensor
    """Mean over the targets that count; 0 where none does."""
    norm: Tensor
    """Of the gradient of that mean."""
    n_targets: Tensor
    n_tokens: Tensor
    """Exact up to 2^24, as `n_targets` is: both are summed with the loss, in fp32."""

    def numbers(self) -> list[float]:
        """Return the four, waiting for the device once."""
        numbers: list[float] = torch.stack(self).tolist()
        return numbers


class Learner:
    """A model, its optimizer and its data, in one process or in several that share the work."""

    def __init__(
        self, step: Step[Any], batches: Source, choices: Choices, world: Alone = ALONE
    ) -> None:
        self.step, self.batches, self.choices, self.world = step, batches, choices, world
        self.config = choices.config
        self.passes = world.passes(self.config)
        check_step(step)
        self.has_dropout = step.has_dropout
        if self.config.checkpoint_activations == "on":
            checkpoint_blocks(step.blocks, self.has_dropout)
        if self.config.compile == "on":
            compile_step(step)
        self.forward = world.wrap(step, step.blocks, step.may_leave_unused)
        self.tears_heap = self.config.allocator == "keep" and step.may_leave_unused
        self.kept = step.kept()
        self.learning = [p for p in step.model.parameters() if p.requires_grad]
        self.optimizer = build_optimizer(step.model, self.config, world)

    def gradient(self, number: int) -> Gradient:
        """Compute the gradient of global batch `number` into the parameters' `grad`.

        There it is that of the sum over targets, divided by `world.divisor`; `move` does the rest.
        """
        config, first_of_all = self.config, number * self.config.sequences_per_step
        self.step.refresh()
        rows = []
        for i, (first, n) in enumerate(self.passes):
            if self.has_dropout:  # repeats after a resume, differs between ranks
                torch.manual_seed(config.seed * 1_000_003 + number + (first << 40))
            last = i + 1 == len(self.passes)
            batch = checked_rows(self.batches, first_of_all + first, n)
            arrays = {k: to_device(a, self.choices.device) for k, a in batch.arrays.items()}
            with self.world.pass_context(last):
                with self.choices.step_context(copied=self.step.narrow is not None):
                    loss_sum, n_targets = self.forward(**arrays)
                loss_sum.backward()  # type: ignore[no-untyped-call]
            self.step.collect()
            self.world.after_pass(self.learning, last)
            n_tokens = torch.full_like(n_targets, batch.n_tokens)
            rows.append(torch.stack([loss_sum.detach().float(), n_targets, n_tokens]))
        loss_sum, n_targets, n_tokens = self.world.total(rows)
        divisor = n_targets + (n_targets == 0)  # nothing counts: the sums are 0, and so are means
        norm = self.world.norm(self.optimizer.gradients(self.learning))
        return Gradient(
            loss_sum / divisor, norm * self.world.divisor / divisor, n_targets, n_tokens
        )

    def move(self, gradient: Gradient) -> None:
        """Take the step, at the optimizer's rates, with a gradient of this norm clipped."""
        shrinkage = (self.config.grad_clip or torch.inf) / (gradient.norm + 1e-6)
        # The fused step divides each gradient by this on its way: a pass over memory less.
        scale = gradient.n_targets / self.world.divisor / shrinkage.clamp(max=1.0)
        self.optimizer.grad_scale = scale
        self.optimizer.step()

    def let_go(self, number: int) -> None:
        """Forget the gradient of a step; now and then, what its blocks have left in the heap."""
        self.optimizer.zero_grad()
        if self.tears_heap and number % GIVE_BACK_EVERY == GIVE_BACK_EVERY - 1:
            give_back()

    def batch(self, number: int) -> Tensors:
        """Return global batch `number` whole: all of its arrays."""
        n = self.config.sequences_per_step
        arrays = checked_rows(self.batches, number * n, n).arrays
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def weights(self) -> Tensors:
        """Return what a checkpoint holds, which all processes gather, in the first one only."""
        whole = ((name, self.world.whole(self.world.local(p), p)) for name, p in self.kept.items())
        return self._gathered(whole)

    def memory(self) -> Tensors:
        """Return what the optimizer remembers, likewise."""
        return self._gathered(optimizer_tensors(self.optimizer, self.kept))

    def _gathered(self, tensors: Iterator[tuple[str, Tensor]]) -> Tensors:
        return {name: tensor.detach() for name, tensor in tensors if self.world.rank == 0}

    def restore(self, weights: Tensors, memory: Tensors) -> None:
        """Go on from the tensors of a checkpoint; weights have been checked already."""
        with torch.no_grad():
            for name, parameter in self.kept.items():
                self.world.local(parameter).copy_(self.world.part_of(weights[name], parameter))
        restore_optimizer(self.optimizer, self.kept, memory)
