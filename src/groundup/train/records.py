"""What a training tells its listeners: figures, validations, samples, and events."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from groundup.device.machine import peak_memory_mib
from groundup.optim.schedule import learning_rate
from groundup.train.clock import MOST_EVALUATED, Clock
from groundup.train.health import Trouble
from groundup.train.listener import Listener
from groundup.train.progress import Progress


class Validation(Protocol):
    """What a validation found."""

    @property
    def loss(self) -> float:
        """By which the best checkpoint is chosen: the smaller, the better."""

    @property
    def tokens(self) -> int:
        """Tokens predicted."""

    def figures(self) -> dict[str, float]:
        """Return what is told of it, named as in metrics.jsonl."""


Between = Callable[[], None]
"""Called every moment or so while something takes time; may raise."""
Evaluate = Callable[[int | None, bool, Between], Validation | None]
Sample = Callable[[Between], tuple[str, str] | None]


@dataclass
class Records:
    """Finds out what is to be told between two steps, and tells all listeners.

    `evaluate` and `sample` are those of the `Trainer`. Of `peak_flops` (1/s), `flops_per_token`
    times the speed is the part that is used; 0 or None where one is not known.
    """

    listeners: Sequence[Listener]
    clock: Clock
    evaluate: Evaluate
    sample: Sample
    device: torch.device
    flops_per_token: float
    peak_flops: float | None

    def do(self, duty: str, progress: Progress, norm: float, between: Between) -> None:
        """Do what is due; `norm` is that of the last step's gradient."""
        if duty == "log":
            self._log(progress, norm)
        elif duty == "validate":
            self._validate(progress, between)
        elif duty == "sample":
            self._sample(progress, between)
        else:
            self._finish(progress, between)

    def _log(self, progress: Progress, norm: float) -> None:
        """Tell of the steps since the last time; those that were left out have no loss."""
        steps, progress.unlogged = progress.unlogged, []
        losses = [loss for loss in steps if loss is not None]
        per_second = self.clock.tokens_per_second(max(1, len(steps)))
        record = self._begun(progress)
        if losses or not steps:
            record["train_loss"] = statistics.fmean(losses) if losses else math.nan
        if uncounted := len(steps) - len(losses):
            record["uncounted_steps"] = uncounted
        schedule = self.clock.decisions.schedule_at(progress.step - 1)
        record["lr"] = learning_rate(*schedule) * progress.rate_scale
        record["grad_norm"] = norm
        record["tokens_per_second"] = round(per_second, 1)
        if self.peak_flops:
            record["mfu"] = round(per_second * self.flops_per_token / self.peak_flops, 4)
        self._tell(record)

    def _validate(self, progress: Progress, between: Between) -> None:
        begun, most = time.perf_counter(), self.clock.config.eval_tokens or MOST_EVALUATED
        result = self.evaluate(most, False, between)
        if result is None:
            return
        best = progress.best_val_loss
        progress.val_loss = result.loss
        progress.best_val_loss = result.loss if best is None else min(best, result.loss)
        self._tell(self._begun(progress) | result.figures())
        self.clock.add_validation(time.perf_counter() - begun, result.tokens)

    def _sample(self, progress: Progress, between: Between) -> None:
        begun = time.perf_counter()
        written = self.sample(between) if self.clock.config.sample_tokens else None
        if written is None:
            return
        for listener in self.listeners:
            listener.sample(progress.step, *written)
        self.clock.sample_pause = time.perf_counter() - begun

    def _finish(self, progress: Progress, between: Between) -> None:
        """Validate on all that there is time for, and tell that the last step was taken."""
        most = self.clock.decisions.at(progress.step).final_tokens
        result = self.evaluate(most, True, between)
        record: dict[str, Any] = {"step": progress.step, "event": "finished"}
        if result is not None:
            record = self._begun(progress) | result.figures() | record
            record["val_tokens"] = result.tokens
            record |= {} if most is None else {"val_tokens_most": most}
        record["seconds"] = round(progress.seconds, 4)
        record["wall_seconds"] = round(self.clock.wall_seconds, 2)
        record["peak_memory_mib"] = round(peak_memory_mib(self.device), 1)
        self._tell(record)
        progress.finished = True

    def decided_anew(self, seconds_per_step: float | None) -> None:
        """Tell the settings as they are from now on, and the speed of the first steps, if now."""
        for listener in self.listeners:
            taken = self.clock.decisions.taken
            listener.decided_anew(self.clock.config, taken, seconds_per_step)

    def event(self, name: str, step: int, trouble: Trouble, outcome: str) -> None:
        """Tell of a trouble and what came of it."""
        reason = f"{trouble.text}; {outcome}"
        self._tell({"step": step, "event": name, "kind": trouble.kind, "reason": reason})

    def _begun(self, progress: Progress) -> dict[str, Any]:
        return {
            "step": progress.step,
            "tokens": progress.tokens,
            "seconds": round(progress.seconds, 4),
        }

    def _tell(self, record: dict[str, Any]) -> None:
        for listener in self.listeners:
            listener.metrics(record)
