"""The one training loop. Fine-tuning brings other data and another `Step`, no other loop."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

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
from groundup.train.decisions import Decision
from groundup.train.guard import GoBack, Guard, State, check_data
from groundup.train.health import WINDOW, Trouble
from groundup.train.learner import Learner
from groundup.train.listener import Listener, Tensors
from groundup.train.progress import Progress
from groundup.train.records import Evaluate, Records, Sample
from groundup.train.step_threads import StepThreads


class Stopped(BaseException):
    """The run was asked to stop; what is still due at its step is remembered."""


@dataclass
class Trainer:
    """A model on its way through its training data.

    `evaluate(max_tokens, between)` validates on at most so many tokens (all for None), and returns
    None where there is nothing to validate on; `sample(between)` returns a prompt and what follows.
    Both call `between` every moment or so, which may raise. `last_checkpoint()` returns what to go
    back to, None where there is nothing. The last seven are what `Clock` and `Records` are told.
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
    decisions: Sequence[Decision] = ()
    n_val_tokens: int | None = None
    threads: StepThreads | None = None
    flops_per_token: float = 0.0
    peak_flops: float | None = None

    def __post_init__(self) -> None:
        self.model: nn.Module = self.step.model
        config, batches, device = self.choices.config, self.batches, self.choices.device
        world = self.world
        check_data(batches)
        tokens_per_step = config.sequences_per_step * batches.n_tokens // batches.n_rows
        self.clock = Clock(
            config,
            tokens_per_step,
            self.started,
            self.timed,
            lambda wish: world.agree(wish)[0],
            self.decisions,
            self.n_val_tokens,
            self.threads,
        )
        self.learner = Learner(self.step, batches, self.choices, self.world)
        figures = device, self.flops_per_token, self.peak_flops
        self.records = Records(self.listeners, self.clock, self.evaluate, self.sample, *figures)
        self.guard = Guard(config, self.learner, self.records)
        self.norm = 0.0
        """Of the last step's gradient."""
        self._saved: Progress | None = None
        self._requests = Requests()

    @property
    def config(self) -> TrainConfig:
        """The settings, as they follow from the speed of the first steps."""
        return self.clock.config

    def restore(self, progress: Progress, weights: Tensors, memory: Tensors) -> None:
        """Go on from the tensors of a checkpoint; weights have been checked already."""
        self.progress, self._saved = progress, progress.frozen()
        self._go_to(progress.step)
        self.learner.restore(weights, memory)

    def fit(self, requests: Requests) -> Progress:
        """Train to the last step, or until asked to stop; save what is there at the end."""
        self._requests = requests
        self.model.train()
        try:
            with contextlib.suppress(Stopped):
                self._do_what_is_due()
                while self.progress.step < self.config.steps:
                    self._check_signals()
                    try:
                        self.take_step()
                    except GoBack as back:
                        self._go_back(back.trouble)
                    self._do_what_is_due()
            self._save()
        except Exception as error:
            with contextlib.suppress(Exception):  # what has been handed over is kept
                self._confirm(wait=True)
            if requests.stop and not isinstance(error, GroundupError):
                # The signal has reached the processes of a library, too, such as a compiler.
                raise Interrupted(requests.stop) from error
            raise
        self._confirm(wait=True)
        return self.progress

    def take_step(self) -> None:
        """Learn from one global batch, unless something is wrong with it; note how it went."""
        begun, progress, number = time.perf_counter(), self.progress, self.progress.step
        gradient = self.learner.gradient(number)
        loss, self.norm, n_targets, n_tokens = gradient.numbers()
        if n_targets == 0:
            self.guard.check_counted(progress)
            progress.unlogged.append(None)
        elif self.guard.allows(loss, self.norm, progress):
            place, schedule = self.clock.decisions.schedule_at(number)
            set_learning_rate(self.learner.optimizer, place, schedule, progress.rate_scale)
            self.learner.move(gradient)
            progress.unlogged.append(loss)
            progress.recent = [*progress.recent[1 - WINDOW :], loss]
        self.learner.let_go(number)
        progress.step += 1
        progress.tokens += int(n_tokens)
        progress.val_loss = None
        synchronize(self.choices.device)
        seconds = time.perf_counter() - begun
        progress.seconds += seconds
        self.clock.add(seconds, int(n_tokens))
        self._decide()
        progress.wall_seconds = self.clock.wall_seconds
        progress.due = self.clock.due(progress.step)

    def _decide(self) -> None:
        """Take the settings of the next step; what is decided anew is told before that is taken."""
        per_step, step = self.clock.estimate(self.progress), self.progress.step
        self.clock.go_to(step)
        if self.clock.decide_anew(step) or per_step is not None:
            self.records.decided_anew(per_step)
        self._go_to(step)

    def _go_to(self, step: int) -> None:
        """Take the settings and the threads of a step."""
        self.clock.go_to(step)
        if (threads := self.clock.threads) and threads != torch.get_num_threads():
            torch.set_num_threads(threads)

    def _go_back(self, trouble: Trouble) -> None:
        """Go on from the last checkpoint, by smaller steps."""
        self._confirm(wait=True)
        self.restore(*self.guard.slowed(self.progress, trouble, self.last_checkpoint))

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
            self.records.do(name, progress, self.norm, self._check_signals)
            progress.due = rest
        if progress.finished or self.clock.is_time_to_save(progress.step):
            self._save()

    def _save(self) -> None:
        if self._saved == self.progress:
            return
        self._saved = self.progress.frozen()
        begun = time.perf_counter()
        weights, memory = self.learner.weights(), self.learner.memory()
        for listener in self.listeners:
            listener.save(self._saved, weights, memory)
        self.clock.save_seconds = time.perf_counter() - begun
