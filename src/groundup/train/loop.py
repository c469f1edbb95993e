"""The one training loop. Fine-tuning brings other data and another `TrainStep`, no other loop."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch
from torch import Tensor

from groundup.base.errors import GroundupError
from groundup.base.signals import Interrupted, Requests
from groundup.config import TrainConfig
from groundup.data import Batches
from groundup.device.machine import peak_memory_mib
from groundup.device.rates import synchronize
from groundup.evaluate import Evaluation
from groundup.optim.optimizer import set_learning_rate
from groundup.optim.schedule import learning_rate
from groundup.optim.step import TrainStep
from groundup.processes.alone import ALONE, Alone
from groundup.train.budget import (
    EVALUATIONS,
    MOST_EVALUATED,
    SAMPLES,
    evaluated_tokens,
    steps_within,
)
from groundup.train.choices import Choices
from groundup.train.health import MOST_RETURNS, SLOWED, WINDOW, DivergedError, Trouble, examine
from groundup.train.learner import Learner
from groundup.train.listener import Listener, Tensors
from groundup.train.progress import Progress

TIMED_STEPS = 20
"""Steps from which the time of the whole run is foretold."""

Between = Callable[[], None]


class Stopped(BaseException):
    """The run was asked to stop; what is still due at its step is remembered."""


class Back(BaseException):
    """The run has to go back to its last checkpoint, for a trouble."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.text)
        self.trouble = trouble


@dataclass
class Trainer:
    """A model on its way through its training data.

    `evaluate(max_tokens, between)` returns the validation loss over at most so many tokens (all for
    None), or None where there is no validation text; `sample(between)` returns a prompt and its
    continuation. Both call `between` every moment or so, which may raise. `go_back()` brings model
    and optimizer back to the last checkpoint and returns its progress, None where there is none.
    """

    step: TrainStep
    batches: Batches
    choices: Choices
    evaluate: Callable[[int | None, Between], Evaluation | None]
    sample: Callable[[Between], tuple[str, str] | None]
    listeners: list[Listener]
    go_back: Callable[[], Progress | None] = lambda: None
    world: Alone = ALONE
    flops_per_token: float = 0.0
    peak_flops: float | None = None
    started: float = field(default_factory=time.perf_counter)
    timed: bool = False
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.config: TrainConfig = self.choices.config
        self.model = self.step.model
        if self.config.minutes is None:
            self._afford_evaluation()
        self.learner = Learner(self.step, self.batches, self.choices, self.world)
        self._durations: deque[float] = deque(maxlen=TIMED_STEPS)
        self._norm = torch.zeros(())
        self._pause = 0.0
        self._saved: Progress | None = None
        self._requests = Requests()

    @property
    def steps_done(self) -> int:
        """Steps taken."""
        return self.progress.step

    @property
    def step_seconds(self) -> float:
        """How long a step takes at most, of the last ones."""
        return max(self._durations, default=0.0)

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
            self._train()
        except Stopped:
            self._save()
        except Back as back:
            self._confirm(wait=True)
            self._return_to_checkpoint(back.trouble)
            return False
        return True

    def _confirm(self, wait: bool) -> None:
        for listener in self.listeners:
            listener.confirm(wait)

    def _train(self) -> None:
        self._settle()
        while self.progress.step < self.config.steps:
            self._heed()
            self._take_step()
            self._foretell()
            self.progress.due = self._duties()
            self._settle()

    def _heed(self) -> None:
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

    def _settle(self) -> None:
        """Do what is due at this step; what is not done to its end stays due."""
        duties = {
            "log": self._log,
            "validate": self._validate,
            "sample": self._sample,
            "finish": self._finish,
        }
        while self.progress.due:
            name, *rest = self.progress.due
            duties[name]()
            self.progress.due = rest
        if self._is_time(self.config.save_every or self.config.eval_every, EVALUATIONS):
            self._save()

    def _duties(self) -> list[str]:
        """Return what is due after a step."""
        step, config = self.progress.step, self.config
        last = step >= config.steps
        due = {
            "log": last or step % self.log_every == 0,
            "validate": last or self._is_time(config.eval_every, EVALUATIONS),
            "sample": last or self._is_time(config.sample_every, SAMPLES),
            "finish": last,
        }
        return [name for name, is_due in due.items() if is_due]

    def _return_to_checkpoint(self, trouble: Trouble) -> None:
        """Go on from the last checkpoint with smaller steps."""
        before = self.progress
        if before.went_back >= MOST_RETURNS or (progress := self.go_back()) is None:
            self._give_up(trouble)
        progress.went_back = before.went_back + 1
        progress.rate_scale = before.rate_scale * SLOWED
        self._saved = progress.frozen()  # the checkpoint stays as it is
        rate = f"learning rates times {progress.rate_scale:g}"
        self._tell_event("went back", before.step + 1, trouble, f"to step {progress.step}, {rate}")

    @property
    def log_every(self) -> int:
        """Steps summed up in one line of metrics: a long run has about 2,000 lines."""
        return max(1, self.config.steps // 2000)

    def _is_time(self, every: int | None, times: int) -> bool:
        """Tell whether something happens now: `every` so many steps, else `times` in the run."""
        step = self.progress.step
        return step > 0 and step % (every or max(1, self.config.steps // times)) == 0

    def _take_step(self) -> None:
        begun = time.perf_counter()
        self._norm = self._learn()
        synchronize(self.choices.device)
        self._durations.append(time.perf_counter() - begun)
        self.progress.seconds += self._durations[-1]

    def _learn(self) -> Tensor:
        """Learn from one global batch, unless something is wrong with it; return the norm."""
        progress, number = self.progress, self.progress.step
        loss, norm, n_targets = self.learner.gradient(number)
        value = float(loss)
        trouble = examine(value, float(norm), progress.recent, self.config)
        if trouble:
            self._face(trouble)
        if trouble is None or trouble.policy == "report":
            set_learning_rate(self.learner.optimizer, number, self.config, progress.rate_scale)
            self.learner.move(norm, n_targets)
            progress.unlogged.append(value)
            progress.recent = [*progress.recent[1 - WINDOW :], value]
        self.learner.forget()
        progress.step += 1
        progress.tokens += self.config.sequences_per_step * self.batches.context_length
        progress.val_loss = None
        return norm

    def _face(self, trouble: Trouble) -> None:
        """Tell of a trouble, keep its batch, and do what its policy says."""
        progress, policy = self.progress, trouble.policy
        if policy == "report":
            self._tell_event("reported", progress.step + 1, trouble, "the step was taken")
            return
        self._keep_batch(trouble)
        self.learner.forget()
        if policy == "back":
            raise Back(trouble)
        progress.skipped += 1
        if policy == "stop" or progress.skipped > self.config.max_skips:
            self._give_up(trouble)
        left = self.config.max_skips - progress.skipped
        self._tell_event("skipped", progress.step + 1, trouble, f"{left} more may be skipped")

    def _keep_batch(self, trouble: Trouble) -> None:
        """Hand out the batch, and the weights that were about to learn from it."""
        step = self.progress.step
        record = {"step": step + 1, "kind": trouble.kind, "reason": trouble.text}
        weights = self.learner.weights()
        for listener in self.listeners:
            listener.trouble(record, self.learner.batch(step), weights)

    def _give_up(self, trouble: Trouble) -> NoReturn:
        raise DivergedError(
            f"step {self.progress.step + 1}: {trouble.text}; the weights are as before it and the "
            "last checkpoint stands; 'groundup replay RUN' looks into the batch; --set "
            "on_nonfinite=skip or =back goes on, a smaller learning_rate is another --run"
        )

    def _tell_event(self, event: str, step: int, trouble: Trouble, outcome: str) -> None:
        reason = f"{trouble.text}; {outcome}"
        self._tell({"step": step, "event": event, "kind": trouble.kind, "reason": reason})

    def _foretell(self) -> None:
        """Once, after the first steps: tell their speed, and fill a time budget with steps."""
        step, minutes = self.progress.step, self.config.minutes
        slow = minutes is not None and step >= 3 and self.progress.seconds > 6 * minutes
        if self.timed or (step < TIMED_STEPS and not slow):
            return
        self.timed = True
        per_step = statistics.median(self._durations)
        if minutes is not None:
            left = 60 * minutes - (time.perf_counter() - self.started)
            steps = step + steps_within(left, per_step, self._pause)
            self.config = dataclasses.replace(self.config, steps=steps)
            self._afford_evaluation()
        for listener in self.listeners:
            listener.timed(self.config, per_step)

    def _afford_evaluation(self) -> None:
        if self.config.eval_tokens is None:
            tokens = evaluated_tokens(self.config, self.batches.context_length)
            self.config = dataclasses.replace(self.config, eval_tokens=tokens)

    def _log(self) -> None:
        """Tell of the steps since the last time; those that were left out have no loss."""
        losses, self.progress.unlogged = self.progress.unlogged, []
        durations = list(self._durations)[-max(1, len(losses)) :]
        per_second = (
            self.config.sequences_per_step * self.batches.context_length * len(durations)
        ) / sum(durations)
        record = {
            "step": self.progress.step,
            "tokens": self.progress.tokens,
            "seconds": round(self.progress.seconds, 4),
            "train_loss": statistics.fmean(losses) if losses else math.nan,
            "lr": learning_rate(self.progress.step - 1, self.config) * self.progress.rate_scale,
            "grad_norm": float(self._norm),
            "tokens_per_second": round(per_second, 1),
        }
        if self.peak_flops:
            record["mfu"] = round(per_second * self.flops_per_token / self.peak_flops, 4)
        self._tell(record)

    def _tell(self, record: dict[str, Any]) -> None:
        for listener in self.listeners:
            listener.metrics(record)

    def _validate(self) -> None:
        begun = time.perf_counter()
        result = self.evaluate(self.config.eval_tokens or MOST_EVALUATED, self._heed)
        if result is None:
            return
        best = self.progress.best_val_loss
        self.progress.val_loss = result.loss
        self.progress.best_val_loss = result.loss if best is None else min(best, result.loss)
        self._tell(self._validation_record(result))
        self._pause = time.perf_counter() - begun

    def _validation_record(self, result: Evaluation) -> dict[str, Any]:
        return {
            "step": self.progress.step,
            "tokens": self.progress.tokens,
            "seconds": round(self.progress.seconds, 4),
            "val_loss": result.loss,
            "val_perplexity": result.perplexity,
            "val_bits_per_byte": result.bits_per_byte,
        }

    def _sample(self) -> None:
        begun = time.perf_counter()
        written = self.sample(self._heed) if self.config.sample_tokens else None
        if written is None:
            return
        for listener in self.listeners:
            listener.sample(self.progress.step, *written)
        self._pause += time.perf_counter() - begun

    def _save(self) -> None:
        if self._saved == self.progress:
            return
        self._saved = self.progress.frozen()
        weights, memory = self.learner.weights(), self.learner.memory()
        for listener in self.listeners:
            listener.save(self._saved, weights, memory)

    def _finish(self) -> None:
        """Validate on the whole split, say so, and keep the finished state."""
        record: dict[str, Any] = {"step": self.progress.step, "event": "finished"}
        if (result := self.evaluate(None, self._heed)) is not None:
            record = self._validation_record(result) | record | {"val_tokens": result.tokens}
        record["seconds"] = round(self.progress.seconds, 4)
        record["wall_seconds"] = round(time.perf_counter() - self.started, 2)
        record["peak_memory_mib"] = round(peak_memory_mib(self.choices.device), 1)
        self._tell(record)
        self.progress.due = []
        self.progress.finished = True
        self._save()
