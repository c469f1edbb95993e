"""What a training tells its listeners: lines of figures, validations, and events."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from groundup.device.machine import peak_memory_mib
from groundup.optim.schedule import learning_rate
from groundup.train.clock import Clock
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


class Records:
    """Puts together what is told, and tells all listeners.

    Of `peak_flops` (1/s), `flops_per_token` times the speed is the part that is used; 0 or None
    where one is not known.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        clock: Clock,
        device: torch.device,
        flops_per_token: float,
        peak_flops: float | None,
    ) -> None:
        self.listeners, self.clock, self.device = listeners, clock, device
        self.flops_per_token, self.peak_flops = flops_per_token, peak_flops

    def log(self, progress: Progress, norm: Tensor) -> None:
        """Tell of the steps since the last time; those that were left out have no loss."""
        steps, progress.unlogged = progress.unlogged, []
        losses = [loss for loss in steps if loss is not None]
        per_second = self.clock.tokens_per_second(max(1, len(steps)))
        record = self._begun(progress)
        if losses or not steps:
            record["train_loss"] = statistics.fmean(losses) if losses else math.nan
        if uncounted := len(steps) - len(losses):
            record["uncounted_steps"] = uncounted
        config = self.clock.config
        record["lr"] = learning_rate(progress.step - 1, config) * progress.rate_scale
        record["grad_norm"] = float(norm)
        record["tokens_per_second"] = round(per_second, 1)
        if self.peak_flops:
            record["mfu"] = round(per_second * self.flops_per_token / self.peak_flops, 4)
        self._tell(record)

    def validation(self, progress: Progress, result: Validation) -> None:
        """Tell what a validation found."""
        self._tell(self._begun(progress) | result.figures())

    def finished(self, progress: Progress, result: Validation | None) -> None:
        """Tell that the last step was taken, and what the last validation found."""
        record: dict[str, Any] = {"step": progress.step, "event": "finished"}
        if result is not None:
            record = self._begun(progress) | result.figures() | record
            record["val_tokens"] = result.tokens
        record["seconds"] = round(progress.seconds, 4)
        record["wall_seconds"] = round(self.clock.wall_seconds, 2)
        record["peak_memory_mib"] = round(peak_memory_mib(self.device), 1)
        self._tell(record)

    def sample(self, step: int, prompt: str, text: str) -> None:
        """Tell what the model wrote."""
        for listener in self.listeners:
            listener.sample(step, prompt, text)

    def timed(self, seconds_per_step: float) -> None:
        """Tell the measured speed of the first steps, and the settings that follow from it."""
        for listener in self.listeners:
            listener.timed(self.clock.config, seconds_per_step)

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
