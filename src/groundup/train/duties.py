"""What is done between two steps: a line of figures, a validation, a sample, the end of the run."""

from __future__ import annotations

import time
from collections.abc import Callable

from torch import Tensor

from groundup.train.clock import EVALUATIONS, MOST_EVALUATED, SAMPLES, Clock
from groundup.train.progress import Progress
from groundup.train.records import Records, Validation

MOST_LINES = 2000
"""Lines of figures in a run, about: in a longer one, several steps are summed up in one."""

Between = Callable[[], None]
"""Called every moment or so while something takes time; may raise."""
Evaluate = Callable[[int | None, Between], Validation | None]
Sample = Callable[[Between], tuple[str, str] | None]


class Duties:
    """Says what is due after which step, and does it."""

    def __init__(self, evaluate: Evaluate, sample: Sample, records: Records, clock: Clock) -> None:
        self.evaluate, self.sample, self.records, self.clock = evaluate, sample, records, clock

    def after(self, step: int) -> list[str]:
        """Return what is due after a step, in order."""
        config = self.clock.config
        last = step >= config.steps
        due = {
            "log": last or step % max(1, config.steps // MOST_LINES) == 0,
            "validate": last or self._is_time(step, config.eval_every, EVALUATIONS),
            "sample": last or self._is_time(step, config.sample_every, SAMPLES),
            "finish": last,
        }
        return [name for name, is_due in due.items() if is_due]

    def is_time_to_save(self, step: int) -> bool:
        """Return whether a checkpoint is due after a step."""
        config = self.clock.config
        return self._is_time(step, config.save_every or config.eval_every, EVALUATIONS)

    def _is_time(self, step: int, every: int | None, times: int) -> bool:
        """Tell whether something happens now: `every` so many steps, else `times` in the run."""
        return step > 0 and step % (every or max(1, self.clock.config.steps // times)) == 0

    def do(self, name: str, progress: Progress, norm: Tensor, between: Between) -> None:
        """Do what is due; `norm` is that of the last step's gradient."""
        if name == "log":
            self.records.log(progress, norm)
        elif name == "validate":
            self._validate(progress, between)
        elif name == "sample":
            self._sample(progress, between)
        else:
            self._finish(progress, between)

    def _validate(self, progress: Progress, between: Between) -> None:
        begun = time.perf_counter()
        result = self.evaluate(self.clock.config.eval_tokens or MOST_EVALUATED, between)
        if result is None:
            return
        best = progress.best_val_loss
        progress.val_loss = result.loss
        progress.best_val_loss = result.loss if best is None else min(best, result.loss)
        self.records.validation(progress, result)
        self.clock.pause = time.perf_counter() - begun

    def _sample(self, progress: Progress, between: Between) -> None:
        begun = time.perf_counter()
        written = self.sample(between) if self.clock.config.sample_tokens else None
        if written is None:
            return
        self.records.sample(progress.step, *written)
        self.clock.pause += time.perf_counter() - begun

    def _finish(self, progress: Progress, between: Between) -> None:
        """Validate on the whole split and say so."""
        self.records.finished(progress, self.evaluate(None, between))
        progress.finished = True
