"""The one training loop. Fine-tuning brings other data and another `TrainStep`, no other loop."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from groundup.base.errors import RunError
from groundup.config import TrainConfig
from groundup.data import Batches
from groundup.device.machine import peak_memory_mib
from groundup.device.rates import synchronize
from groundup.device.transfer import to_device
from groundup.evaluate import Evaluation
from groundup.model import GPT
from groundup.train.checkpointing import checkpoint_blocks
from groundup.train.choices import Choices
from groundup.train.compiled import compile_step
from groundup.train.optimizer import (
    Optimizer,
    build_optimizer,
    restore_optimizer,
    set_learning_rate,
)
from groundup.train.schedule import learning_rate
from groundup.train.signals import StopRequest
from groundup.train.step import TrainStep

EVALUATIONS = 20
"""Validations and checkpoints in a run, where their number was not set."""
MOST_EVALUATED, LEAST_EVALUATED = 16384, 2048
"""Tokens of a validation while training, where their number was not set."""
EVALUATION_SHARE = 0.03
"""How much of a run's time its validations may take; a token read is a third of one learnt from."""
SAMPLES = 5
"""Samples in a run, besides those of its start and its end."""
TIMED_STEPS = 20
"""Steps from which the time of the whole run is foretold."""


@dataclass
class Progress:
    """How far a run has come; saved with every checkpoint."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    val_loss: float | None = None
    best_val_loss: float | None = None
    finished: bool = False


class Listener(Protocol):
    """Who is told what happens: the run folder and the screen. Every method may be a no-op."""

    def metrics(self, record: dict[str, Any]) -> None:
        """Receive a line of figures, as in metrics.jsonl."""

    def sample(self, step: int, prompt: str, text: str) -> None:
        """Receive what the model wrote at `step`."""

    def timed(self, config: TrainConfig, seconds_per_step: float) -> None:
        """Receive the measured speed of the first steps, and the settings that follow from it."""

    def save(self, progress: Progress, model: GPT, optimizer: Optimizer) -> None:
        """Keep the run's state."""


@dataclass
class Trainer:
    """A model on its way through its training data.

    `evaluate(max_tokens)` returns the validation loss over at most so many tokens (all for None),
    or None where there is no validation text; `sample()` returns a prompt and its continuation.
    """

    step: TrainStep
    batches: Batches
    choices: Choices
    evaluate: Callable[[int | None], Evaluation | None]
    sample: Callable[[], tuple[str, str] | None]
    listeners: list[Listener]
    flops_per_token: float = 0.0
    peak_flops: float | None = None
    started: float = field(default_factory=time.perf_counter)
    timed: bool = False
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.config: TrainConfig = self.choices.config
        self.model = self.step.model
        self.optimizer = build_optimizer(self.model, self.config)
        self._durations: deque[float] = deque(maxlen=TIMED_STEPS)
        self._pause = 0.0
        self._saved: Progress | None = None
        if self.config.checkpoint_activations == "on":
            checkpoint_blocks(self.step.worker)
        if self.config.compile == "on":
            compile_step(self.step)

    def restore(self, progress: Progress, trainer_tensors: dict[str, Tensor]) -> None:
        """Go on from a checkpoint; the model has been filled already."""
        self.progress = progress
        restore_optimizer(self.optimizer, self.model, trainer_tensors)

    def fit(self, stop: StopRequest) -> Progress:
        """Train to the last step, or to the first step boundary after a stop request."""
        if self.progress.step == 0:
            self._validate()
            self._sample()
        self.model.train()
        losses: list[Tensor] = []
        while self.progress.step < self.config.steps and stop.signal is None:
            loss, norm = self._timed_step()
            losses.append(loss)
            self._foretell()
            step, last = self.progress.step, self.progress.step >= self.config.steps
            if last or step % self.log_every == 0 or stop.signal is not None:
                self._tell_metrics(losses, norm)
                losses.clear()
            if last or self._due(self.config.eval_every, EVALUATIONS):
                self._validate()
            if last or self._due(self.config.sample_every, SAMPLES):
                self._sample()
            if not last and self._due(
                self.config.save_every or self.config.eval_every, EVALUATIONS
            ):
                self._save()
        if self.progress.step >= self.config.steps:
            self._finish()
        else:
            self._save()
        return self.progress

    @property
    def log_every(self) -> int:
        """Steps summed up in one line of metrics: a long run has about 2,000 lines."""
        return max(1, self.config.steps // 2000)

    def _due(self, every: int | None, times: int) -> bool:
        """Tell whether something happens now: `every` so many steps, else `times` in the run."""
        return self.progress.step % (every or max(1, self.config.steps // times)) == 0

    def _timed_step(self) -> tuple[Tensor, Tensor]:
        begun = time.perf_counter()
        result = self._optimizer_step()
        synchronize(self.choices.device)
        self._durations.append(time.perf_counter() - begun)
        self.progress.seconds += self._durations[-1]
        return result

    def _optimizer_step(self) -> tuple[Tensor, Tensor]:
        """Learn from one global batch; return its mean loss and the norm of the gradient."""
        config, step = self.config, self.progress.step
        if self.model.config.has_dropout:
            torch.manual_seed(config.seed * 1_000_003 + step)  # dropout repeats after a resume
        self.step.refresh()
        losses, counts = [], []
        for micro in range(config.accumulation):
            first = step * config.sequences_per_step + micro * config.batch_size
            arrays = self.batches.samples(first, config.batch_size)
            tokens, targets = (to_device(a, self.choices.device) for a in arrays)
            with self.choices.step_context():
                loss_sum, count = self.step(tokens, targets)
            loss_sum.backward()
            self.step.collect()
            losses.append(loss_sum.detach())
            counts.append(count)
        n_targets = torch.stack(counts).sum()
        norm = self._gradient_norm() / n_targets
        # The fused step divides each gradient by this on its way: a pass over memory less.
        self.optimizer.grad_scale = n_targets / self._shrinkage(norm)
        set_learning_rate(self.optimizer, step, config)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.progress.step += 1
        self._check_finite(norm)
        self.progress.tokens += config.sequences_per_step * self.batches.context_length
        self.progress.val_loss = None
        return torch.stack(losses).sum() / n_targets, norm

    def _gradient_norm(self) -> Tensor:
        """Return the norm of the gradients as they are: summed over targets."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        return nn.utils.get_total_norm(gradients)

    def _check_finite(self, norm: Tensor) -> None:
        """Refuse to go on; only now, as a GPU would idle until we have looked and go on."""
        if not torch.isfinite(norm):
            raise RunError(
                f"step {self.progress.step}: the gradient is not finite; the last checkpoint "
                "stands; train again with a smaller learning_rate under another --run name"
            )

    def _shrinkage(self, norm: Tensor) -> Tensor:
        """Return what a gradient of this norm is multiplied by to be clipped: 1 or less."""
        most = self.config.grad_clip or torch.inf
        return (most / (norm + 1e-6)).clamp(max=1.0)

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
            pauses = (EVALUATIONS + 2) * self._pause  # the last validation reads the whole split
            steps = step + max(1, int((0.97 * left - pauses) / per_step))
            self.config = dataclasses.replace(self.config, steps=steps)
        if self.config.eval_tokens is None:
            tokens = self._affordable_evaluation()
            self.config = dataclasses.replace(self.config, eval_tokens=tokens)
        for listener in self.listeners:
            listener.timed(self.config, per_step)

    def _affordable_evaluation(self) -> int:
        """Return how many tokens each validation may read, so that all take a small share."""
        config = self.config
        times = config.steps // (config.eval_every or max(1, config.steps // EVALUATIONS))
        learnt = config.steps * config.sequences_per_step * self.batches.context_length
        affordable = int(3 * EVALUATION_SHARE * learnt) // max(1, times)
        return min(MOST_EVALUATED, max(LEAST_EVALUATED, affordable))

    def _tell_metrics(self, losses: list[Tensor], norm: Tensor) -> None:
        durations = list(self._durations)[-len(losses) :]
        per_second = (
            self.config.sequences_per_step * self.batches.context_length * len(durations)
        ) / sum(durations)
        record = {
            "step": self.progress.step,
            "tokens": self.progress.tokens,
            "seconds": round(self.progress.seconds, 4),
            "train_loss": float(torch.stack(losses).mean()),
            "lr": learning_rate(self.progress.step - 1, self.config),
            "grad_norm": float(norm),
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
        result = self.evaluate(self.config.eval_tokens or MOST_EVALUATED)
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
        written = self.sample() if self.config.sample_tokens else None
        if written is None:
            return
        for listener in self.listeners:
            listener.sample(self.progress.step, *written)
        self._pause += time.perf_counter() - begun

    def _save(self) -> None:
        if self._saved == (state := dataclasses.replace(self.progress)):
            return
        self._saved = state
        for listener in self.listeners:
            listener.save(self.progress, self.model, self.optimizer)

    def _finish(self) -> None:
        """Validate on the whole split, say so, and keep the finished state."""
        record: dict[str, Any] = {"step": self.progress.step, "event": "finished"}
        if (result := self.evaluate(None)) is not None:
            record = self._validation_record(result) | record | {"val_tokens": result.tokens}
        record["seconds"] = round(self.progress.seconds, 4)
        record["wall_seconds"] = round(time.perf_counter() - self.started, 2)
        record["peak_memory_mib"] = round(peak_memory_mib(self.choices.device), 1)
        self._tell(record)
        self.progress.finished = True
        self._save()
