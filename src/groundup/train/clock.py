"""The clock of a training: how fast steps are, how many fit a time, what is due after which."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections import deque
from collections.abc import Callable

from groundup.config import TrainConfig
from groundup.train.progress import Progress

TIMED_STEPS = 20
"""Steps from which the time of the whole run is estimated."""
EVALUATIONS = 20
"""Validations and checkpoints in a run, where their number was not set."""
MOST_EVALUATED, LEAST_EVALUATED = 16384, 2048
"""Tokens of a validation while training, where their number was not set."""
LAST = 2
"""Validations for which the last one counts, which reads the whole split."""
EVALUATION_SHARE = 0.03
"""How much of a run's time its validations may take; a token read is a third of one learnt from."""
SAMPLES = 5
"""Samples in a run, besides those of its start and its end."""
MOST_LINES = 2000
"""Lines of figures in a run, about: in a longer one, several steps are summed up in one."""
MOST_PAUSED = 0.2
"""The part of a time that validations and samples may take; where they are dear there are fewer."""
USED = 0.97
"""The part of a time that steps and pauses may fill."""


class Clock:
    """Times the steps of a training; `config` is its settings, as they follow from the times.

    `tokens_per_step` is how many tokens a step learns from, about. A training that was `timed`
    before it was stopped keeps its number of steps. `agree` returns the largest wish of all
    processes: the clock of each tells another time, and all must take as many steps.
    """

    def __init__(
        self,
        config: TrainConfig,
        tokens_per_step: int,
        started: float,
        timed: bool,
        agree: Callable[[int], int] = int,
    ) -> None:
        self.config, self.tokens_per_step = config, tokens_per_step
        self.started, self.timed, self.agree = started, timed, agree
        self.pause = 0.0
        """Seconds of the last validation, and of the sample after it."""
        self._steps: deque[tuple[float, int]] = deque(maxlen=TIMED_STEPS)
        if config.minutes is None:
            self._bound_evaluation()

    @property
    def step_seconds(self) -> float:
        """How long a step takes at most, of the last ones."""
        return max((seconds for seconds, _ in self._steps), default=0.0)

    @property
    def wall_seconds(self) -> float:
        """The time since the training was asked for."""
        return time.perf_counter() - self.started

    def add(self, seconds: float, tokens: int) -> None:
        """Note a step that took so long and learnt from so many tokens."""
        self._steps.append((seconds, tokens))

    def tokens_per_second(self, n_steps: int) -> float:
        """Return the speed of the last so many steps, of those that are remembered."""
        seconds, tokens = zip(*list(self._steps)[-n_steps:], strict=True)
        speed: float = sum(tokens) / sum(seconds)
        return speed

    def estimate(self, progress: Progress) -> float | None:
        """Return the seconds a step takes once they are known, and fill a time budget with steps.

        None before that, and ever after.
        """
        step, minutes = progress.step, self.config.minutes
        if self.timed:
            return None
        if step < TIMED_STEPS:
            slow = minutes is not None and step >= 3 and progress.seconds > 6 * minutes
            if minutes is None or not self.agree(slow):
                return None
        self.timed = True
        # By tokens: texts of unlike lengths make steps of unlike lengths.
        per_token = statistics.median(seconds / max(1, tokens) for seconds, tokens in self._steps)
        per_step = per_token * self.tokens_per_step
        if minutes is not None:
            self._fill(step, 60 * minutes - self.wall_seconds, per_step)
        return per_step

    def _fill(self, step: int, seconds: float, step_seconds: float) -> None:
        """Set the steps that fit into the seconds that are left, and the validations among them."""
        n_pauses = pauses_within(seconds, self.pause)
        more = steps_within(seconds, step_seconds, n_pauses * self.pause)
        self.config = dataclasses.replace(self.config, steps=-self.agree(-step - more))
        if n_pauses < EVALUATIONS + LAST and self.config.eval_every is None:
            every = math.ceil(self.config.steps / max(1, n_pauses - LAST))
            self.config = dataclasses.replace(self.config, eval_every=self.agree(every))
        self._bound_evaluation()

    def due(self, step: int) -> list[str]:
        """Return what is due after a step, in order."""
        config, last = self.config, step >= self.config.steps
        due = {
            "log": last or step % max(1, config.steps // MOST_LINES) == 0,
            "validate": last or self._is_time(step, config.eval_every, EVALUATIONS),
            "sample": last or self._is_time(step, config.sample_every, SAMPLES),
            "finish": last,
        }
        return [name for name, is_due in due.items() if is_due]

    def is_time_to_save(self, step: int) -> bool:
        """Tell whether a checkpoint is due after a step."""
        every = self.config.save_every or self.config.eval_every
        return self._is_time(step, every, EVALUATIONS)

    def _is_time(self, step: int, every: int | None, times: int) -> bool:
        """Tell whether something is due: `every` so many steps, else `times` in the run."""
        return step > 0 and step % (every or max(1, self.config.steps // times)) == 0

    def _bound_evaluation(self) -> None:
        if self.config.eval_tokens is None:
            tokens = evaluated_tokens(self.config, self.tokens_per_step)
            self.config = dataclasses.replace(self.config, eval_tokens=tokens)


def pauses_within(seconds: float, pause_seconds: float) -> int:
    """Return for how many validations and samples there is time in `seconds`: at least `LAST`."""
    most = EVALUATIONS + LAST
    if pause_seconds * most <= MOST_PAUSED * seconds:
        return most
    return max(LAST, int(MOST_PAUSED * seconds / pause_seconds))


def steps_within(seconds: float, step_seconds: float, paused_seconds: float) -> int:
    """Return how many steps fit into `seconds` beside all pauses; 1 or more."""
    return max(1, int((USED * seconds - paused_seconds) / step_seconds))


def evaluated_tokens(config: TrainConfig, tokens_per_step: int) -> int:
    """Return how many tokens each validation may read, so that all take a small share of time."""
    times = config.steps // (config.eval_every or max(1, config.steps // EVALUATIONS))
    learnt = config.steps * tokens_per_step
    most = int(3 * EVALUATION_SHARE * learnt) // max(1, times)
    return min(MOST_EVALUATED, max(LEAST_EVALUATED, most))
