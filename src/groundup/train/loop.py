"""The one training loop. Fine-tuning brings other data and another `Step`, no other loop."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from groundup.base.errors import GroundupError
from groundup.base.signals import Interrupted, Requests
from groundup.config import TrainConfig
from groundup.data import Source
from groundup.device.rates import synchronize
from groundup.optim.optimizer import set_learning_rate
from groundup.optim.step import Step
from groundup.processes.alone import ALONE, Alone
from groundup.train.choices import Choices
from groundup.train.clock import Clock
from groundup.train.duties import Duties, Evaluate, Sample
from groundup.train.guard import GoBack, Guard, State, check_data
from groundup.train.health import WINDOW
from groundup.train.learner import Learner
from groundup.train.listener import Listener, Tensors
from groundup.train.progress import Progress
from groundup.train.records import Records


class Stopped(BaseException):
    """The run was asked to stop; what is still due at its step is remembered."""


@dataclass
class Trainer:
    """A model on its way through its training data.

    `evaluate(max_tokens, between)` validates on at most so many tokens (all for None), and returns
    None where there is nothing to validate on; `sample(between)` returns a prompt and what follows.
    Both call `between` every moment or so, which may raise. `last_checkpoint()` returns what to go
    back to, None where there is nothing. The last four are what `Clock` and `Records` are told.
    """

    step: Step[Any]
    batches: Source
    choices: Choices
    evaluate: Evaluate
    sample: Sample
    listeners: list[Listener]
    last_checkpoint: Callable[[], State | None] = lambda: None
    world: Alone = ALONE
    progress: Progress = field(default_factory=Progress)
    started: float = field(default_factory=time.perf_counter)
    timed: bool = False
    flops_per_token: float = 0.0
    peak_flops: float | None = None

    def __post_init__(self) -> None:
        self.model: nn.Module = self.step.model
        config, batches, device = self.choices.config, self.batches, self.choices.device
        check_data(batches)
        tokens_per_step = config.sequences_per_step * batches.n_tokens // batches.n_rows
        self.clock = Clock(
            config,
            tokens_per_step,
            self.started,
            self.timed,
            lambda wish: self.world.agree(wish)[0],
        )
        self.learner = Learner(self.step, batches, self.choices, self.world)
        self.records = Records(
            self.listeners, self.clock, device, self.flops_per_token, self.peak_flops
        )
        self.guard = Guard(config, self.learner, self.records)
        self.duties = Duties(self.evaluate, self.sample, self.records, self.clock)
        self._norm = torch.zeros(())
        self._saved: Progress | None = None
        self._requests = Requests()

    @property
    def config(self) -> TrainConfig:
        """The settings, as they follow from the speed of the first steps."""
        return self.clock.config

    @property
    def steps_done(self) -> int:
        """Steps taken."""
        return self.progress.step

    @property
    def step_seconds(self) -> float:
        """How long a step takes at most, of the last ones."""
        return self.clock.step_seconds

    def restore(self, progress: Progress, weights: Tensors, memory: Tensors) -> None:
        """Go on from the tensors of a checkpoint; weights have been checked already."""
        self.progress, self._saved = progress, progress.frozen()
        self.learner.restore(weights, memory)

    def fit(self, requests: Requests) -> Progress:
        """Train to the last step, or until asked to stop; save what is there at the end."""
        self._requests = requests
        self.model.train()
        try:
            while not self._trained():
                pass
        except Exception as error:
            with contextlib.suppress(Exception):  # what has been handed over is kept
                self._confirm(wait=True)
            if requests.stop and not isinstance(error, GroundupError):
                # The signal has reached the processes of a library, too, such as a compiler.
                raise Interrupted(requests.stop) from error
            raise
        self._confirm(wait=True)
        return self.progress

    def _trained(self) -> bool:
        """Train; return whether that has come to its end, as it has not after going back."""
        try:
            self._do_what_is_due()
            while self.progress.step < self.config.steps:
                self._check_signals()
                self._take_step()
                self.progress.due = self.duties.after(self.progress.step)
                self._do_what_is_due()
        except Stopped:
            self._save()
        except GoBack as back:
            self._confirm(wait=True)
            self.restore(*self.guard.slowed(self.progress, back.trouble, self.last_checkpoint))
            return False
        return True

    def _take_step(self) -> None:
        begun, before = time.perf_counter(), self.progress.tokens
        self._norm = self._learn()
        synchronize(self.choices.device)
        seconds = time.perf_counter() - begun
        self.progress.seconds += seconds
        self.clock.add(seconds, self.progress.tokens - before)
        if (per_step := self.clock.estimate(self.progress)) is not None:
            self.records.timed(per_step)

    def _learn(self) -> Tensor:
        """Learn from one global batch, unless something is wrong with it; return the norm."""
        progress, number = self.progress, self.progress.step
        gradient = self.learner.gradient(number)
        loss, norm, n_targets, n_tokens = gradient.numbers()
        if n_targets == 0:
            self.guard.check_counted(progress)
            progress.unlogged.append(None)
        elif self.guard.allows(loss, norm, progress):
            set_learning_rate(self.learner.optimizer, number, self.config, progress.rate_scale)
            self.learner.move(gradient)
            progress.unlogged.append(loss)
            progress.recent = [*progress.recent[1 - WINDOW :], loss]
        self.learner.forget()
        progress.step += 1
        progress.tokens += int(n_tokens)
        progress.val_loss = None
        return gradient.norm

    def _check_signals(self) -> None:
        """Do what signals have asked for, in any of the processes."""
        self._confirm(wait=False)
        stop, save = self.world.agree(self._requests.stop or 0, self._requests.save)
        if save:
            self._requests.save = False
            self._save()
        if stop:
            self._requests.stop = stop
            self.world.stopping()
            raise Stopped

    def _confirm(self, wait: bool) -> None:
        for listener in self.listeners:
            listener.confirm(wait)

    def _do_what_is_due(self) -> None:
        """Do what is due at this step, and save; what is not done to its end stays due."""
        progress = self.progress
        while progress.due:
            name, *rest = progress.due
            self.duties.do(name, progress, self._norm, self._check_signals)
            progress.due = rest
        if progress.finished or self.duties.is_time_to_save(progress.step):
            self._save()

    def _save(self) -> None:
        if self._saved == self.progress:
            return
        self._saved = self.progress.frozen()
        weights, memory = self.learner.weights(), self.learner.memory()
        for listener in self.listeners:
            listener.save(self._saved, weights, memory)
