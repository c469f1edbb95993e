"""How a model learns from one global batch: its gradient, gathered pass by pass, and the move."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from groundup.data import Batches
from groundup.device.transfer import to_device
from groundup.optim.activation_checkpointing import checkpoint_blocks
from groundup.optim.compiled import compile_step
from groundup.optim.optimizer import build_optimizer, optimizer_tensors, restore_optimizer
from groundup.optim.step import TrainStep
from groundup.processes.alone import ALONE, Alone
from groundup.train.choices import Choices
from groundup.train.listener import Tensors


class Learner:
    """A model, its optimizer and its batches, in one process or in several that share the work."""

    def __init__(
        self, step: TrainStep, batches: Batches, choices: Choices, world: Alone = ALONE
    ) -> None:
        self.step, self.batches, self.choices, self.world = step, batches, choices, world
        self.config = choices.config
        self.passes = world.passes(self.config)
        if self.config.checkpoint_activations == "on":
            checkpoint_blocks(step.worker)
        if self.config.compile == "on":
            compile_step(step)
        self.forward = world.wrap(step)
        self.named = dict(step.model.named_parameters())
        self.optimizer = build_optimizer(step.model, self.config, world)

    def gradient(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mean loss of global batch `number`, its gradient's norm, how many it counts.

        The gradients are left as they are: summed over targets, by the world's divisor too small.
        """
        config, first_of_all = self.config, number * self.config.sequences_per_step
        self.step.refresh()
        rows = []
        for i, (first, n) in enumerate(self.passes):
            if self.step.model.config.has_dropout:  # repeats after a resume, differs between ranks
                torch.manual_seed(config.seed * 1_000_003 + number + (first << 40))
            last = i + 1 == len(self.passes)
            arrays = self.batches.samples(first_of_all + first, n)
            tokens, targets = (to_device(a, self.choices.device) for a in arrays)
            with self.world.passing(last):
                with self.choices.step_context():
                    loss_sum, count = self.forward(tokens, targets)
                loss_sum.backward()  # type: ignore[no-untyped-call]
            self.step.collect()
            self.world.passed(list(self.named.values()), last)
            rows.append(torch.stack([loss_sum.detach(), count]))
        loss_sum, n_targets = self.world.total(rows)
        gradients = self.optimizer.gradients(list(self.named.values()))
        norm = self.world.norm(gradients) * self.world.divisor / n_targets
        return loss_sum / n_targets, norm, n_targets

    def move(self, norm: Tensor, n_targets: Tensor) -> None:
        """Take the step, at the optimizer's rates, with a gradient of this norm clipped."""
        shrinkage = (self.config.grad_clip or torch.inf) / (norm + 1e-6)
        # The fused step divides each gradient by this on its way: a pass over memory less.
        self.optimizer.grad_scale = n_targets / self.world.divisor / shrinkage.clamp(max=1.0)
        self.optimizer.step()

    def forget(self) -> None:
        """Forget the gradients."""
        self.optimizer.zero_grad()

    def batch(self, number: int) -> Tensors:
        """Return global batch `number` whole: tokens and targets (B, T)."""
        n = self.config.sequences_per_step
        tokens, targets = map(torch.from_numpy, self.batches.samples(number * n, n))
        return {"tokens": tokens, "targets": targets}

    def weights(self) -> Tensors:
        """Return all parameters, which all processes bring together, in the first one only."""
        whole = ((name, self.world.whole(self.world.local(p), p)) for name, p in self.named.items())
        return self._gathered(whole)

    def memory(self) -> Tensors:
        """Return what the optimizer remembers, likewise."""
        return self._gathered(optimizer_tensors(self.optimizer, self.named))

    def _gathered(self, tensors: Iterator[tuple[str, Tensor]]) -> Tensors:
        return {name: tensor.detach() for name, tensor in tensors if self.world.rank == 0}

    def restore(self, weights: Tensors, memory: Tensors) -> None:
        """Go on from the tensors of a checkpoint; weights have been checked already."""
        with torch.no_grad():
            for name, parameter in self.named.items():
                self.world.local(parameter).copy_(self.world.part_of(weights[name], parameter))
        restore_optimizer(self.optimizer, self.named, memory)
