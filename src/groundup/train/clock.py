"""The clock of a training: how fast steps are, how many fit a time, what is due after which."""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from groundup.config import TrainConfig
from groundup.train.decisions import Decision, Decisions
from groundup.train.progress import Progress
from groundup.train.step_threads import StepThreads

TIMED_STEPS = 20
"""Steps from which the time of the whole run is estimated."""
EVALUATIONS = 20
"""Validations and checkpoints in a run, where their number was not set."""
MOST_EVALUATED, LEAST_EVALUATED = 16384, 2048
"""Tokens of a validation while training, where their number was not set."""
EVALUATION_SHARE = 0.03
"""How much of a run's time its validations may take; a token read is a third of one learnt from."""
FINAL_SHARE = 0.04
"""How much of a time the last validation may take; it reads less of a split that takes longer."""
SLOWER_IN_FP32 = 2.0
"""The last validation is in fp32, in which a run that trains in bf16 may read so much slower."""
SAMPLES = 5
"""Samples in a run, besides those of its start and its end."""
MOST_LINES = 2000
"""Lines of figures in a run, about: in a longer one, several steps are summed up in one."""
MOST_PAUSED = 0.2
"""The part of a time that validations and samples may take; where they are dear there are fewer."""
ENDING = 1.2
"""Seconds of a processor that are left for what comes after the last validation."""
LONGEST_WAIT = 5.0
"""How many times as long as its processor's time that may take, beside busy programs."""
OFF, OFF_AFAR = 0.01, 0.05
"""A run is decided anew where it would miss its end by more than so much of its whole time, and of
the time that is left."""
MEMORY_SECONDS, MEMORY_SHARE = 2.0, 0.02
"""The speed of a step is that of the last so many seconds, or of so much of the whole time."""


class Clock:
    """Times the steps of a training; `config` is its settings, as they follow from the times.

    `tokens_per_step` is how many tokens a step learns from, about. A training that was `timed`
    before it was stopped is not timed again; what it had decided is in `taken`. `agree` returns the
    largest wish of all processes: the clock of each tells another time, and all must take as many
    steps. `n_val_tokens` is how many there are to validate on, if known. `threads` chooses how many
    compute a step, where that is open.
    """

    def __init__(
        self,
        config: TrainConfig,
        tokens_per_step: int,
        started: float,
        timed: bool,
        agree: Callable[[int], int] = int,
        taken: Sequence[Decision] = (),
        n_val_tokens: int | None = None,
        threads: StepThreads | None = None,
    ) -> None:
        self.tokens_per_step, self.n_val_tokens = tokens_per_step, n_val_tokens
        self.started, self.agree = started, agree
        self.timed, self._threads = timed, threads
        self.spent = 0.0
        """Seconds that the training had taken before this process went on with it."""
        self.pause = self.sample_pause = 0.0
        """Seconds of the last validation, and of the last sample."""
        self.evaluated = 0
        """Tokens of the last validation."""
        self.save_seconds = 0.0
        self._steps: deque[tuple[float, int]] = deque(maxlen=TIMED_STEPS)
        self._seconds = self._tokens = 0.0
        """Of the last steps, the more the longer ago they were the less."""
        self._cpu, self._computed = time.process_time(), 0.0
        """Seconds of a processor that this process has had, and those of the last steps."""
        self._decided = -math.inf
        """The time of the last decision."""
        if config.minutes is None and config.eval_tokens is None:
            config = replace(config, eval_tokens=evaluated_tokens(config, tokens_per_step))
        self.decisions = Decisions(config, taken)
        self.go_to(0)

    def go_to(self, step: int) -> None:
        """Take the settings by which a step is taken."""
        self.config = self.decisions.config_at(step)
        self.threads = self.decisions.at(step).threads or self.config.threads
        if self._threads is not None:
            self._threads.take(self.threads)

    @property
    def budget(self) -> float:
        """The seconds that the training may take in all."""
        return 60 * (self.config.minutes or math.inf)

    @property
    def step_seconds(self) -> float:
        """How long a step takes at most, of the last ones."""
        return max((seconds for seconds, _ in self._steps), default=0.0)

    @property
    def wall_seconds(self) -> float:
        """The time since the training was asked for, without that in which it was stopped."""
        return self.spent + time.perf_counter() - self.started

    def add(self, seconds: float, tokens: int) -> None:
        """Note a step that took so long and learnt from so many tokens."""
        self._steps.append((seconds, tokens))
        cpu, self._cpu = self._cpu, time.process_time()
        fading = math.exp(-seconds / self._memory)
        self._computed = fading * self._computed + min(seconds, max(0.0, self._cpu - cpu))
        self._seconds = fading * self._seconds + seconds
        self._tokens = fading * self._tokens + max(1, tokens)
        if self._threads is not None:
            self._threads.add(seconds, tokens)

    def add_validation(self, seconds: float, tokens: int) -> None:
        """Note a validation that took so long and read so many tokens."""
        self.pause, self.evaluated = seconds, tokens

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
        if self.timed or self._is_decided(step):
            return None
        if step < TIMED_STEPS:
            slow = minutes is not None and step >= 3 and progress.seconds > 6 * minutes
            if minutes is None or not self.agree(slow):
                return None
        self.timed = True
        # By tokens: texts of unlike lengths make steps of unlike lengths.
        per_token = statistics.median(seconds / max(1, tokens) for seconds, tokens in self._steps)
        self._seconds, self._tokens = self._memory, self._memory / per_token
        self._computed *= self._memory / max(1e-9, sum(seconds for seconds, _ in self._steps))
        if minutes is not None:
            self._fill(step, is_first=True)
        return per_token * self.tokens_per_step

    def decide_anew(self, step: int) -> bool:
        """Decide what fits the speed of the last steps better; return whether anything did.

        That is the number of threads, and how many steps fill what is left of a time budget. Where
        decisions on steps to come are recorded, they stand.
        """
        if self._is_decided(step) or step >= self.config.steps:
            return False
        changed = self._choose_threads(step)
        is_filled = self.timed and self.config.minutes and self.decisions.taken
        if is_filled and self.agree(self._is_off(step)):
            self._fill(step)
            changed = True
        return changed

    def _is_decided(self, step: int) -> bool:
        """Tell whether it is recorded what was decided at this step, or at one to come."""
        taken = self.decisions.taken
        return bool(taken) and step <= taken[-1].step

    def _choose_threads(self, step: int) -> bool:
        if self._threads is None:
            return False
        threads = self._threads.choose()
        if threads != self.threads:
            self.decisions.add(step, threads=threads)
        return threads != self.threads

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

    @property
    def _memory(self) -> float:
        share = 0.0 if self.config.minutes is None else MEMORY_SHARE * self.budget
        return max(MEMORY_SECONDS, share)

    @property
    def _per_step(self) -> float:
        return self._seconds / self._tokens * self.tokens_per_step

    @property
    def _waiting(self) -> float:
        """How many times as long as its processor's time this process takes of late."""
        return min(LONGEST_WAIT, max(1.0, self._seconds / max(1e-9, self._computed)))

    def _seconds_left(self) -> float:
        """Return the seconds that are left for steps and pauses."""
        final = min(self._final_seconds(), FINAL_SHARE * self.budget)
        # The last step is followed by an ordinary validation and a sample, too.
        end = final + self.pause + self.sample_pause + self.save_seconds + ENDING * self._waiting
        return self.budget - self.wall_seconds - end

    def _final_seconds(self) -> float:
        """Return how long a validation on the whole split takes; as two, where that is unknown."""
        if self.n_val_tokens is None or not self.evaluated:
            return 2 * self.pause
        return self.n_val_tokens * self._seconds_a_token()

    def _seconds_a_token(self) -> float:
        slower = SLOWER_IN_FP32 if self.config.precision == "bf16" else 1.0
        return slower * self.pause / self.evaluated

    def _final_tokens(self) -> int | None:
        """Return how many tokens the last validation may read; None for all."""
        most = FINAL_SHARE * self.budget
        if self.n_val_tokens is None or self._final_seconds() <= most:
            return None
        return max(LEAST_EVALUATED, int(most / self._seconds_a_token()))

    def _is_off(self, step: int) -> bool:
        """Return whether the run would end clearly too late or too early."""
        now, left, config = self.wall_seconds, self._seconds_left(), self.config
        if now - self._decided < self._memory:
            return False
        validations, samples = (
            self._n_to_come(step, *each)
            for each in ((config.eval_every, EVALUATIONS), (config.sample_every, SAMPLES))
        )
        pauses = validations * self.pause + samples * self.sample_pause
        needed = (config.steps - step) * self._per_step + pauses
        return abs(needed - left) > max(OFF * self.budget, OFF_AFAR * left)

    def _n_to_come(self, step: int, every: int | None, times: int) -> int:
        every = every or max(1, self.config.steps // times)
        return (self.config.steps - 1) // every - step // every

    def _fill(self, step: int, is_first: bool = False) -> None:
        """Fill the seconds that are left with steps, and validations and samples among them."""
        left, pause = self._seconds_left(), self.pause + self.sample_pause
        usual = math.ceil(EVALUATIONS * max(0.0, left) / self.budget)
        n_pauses = pauses_within(left, pause, usual)
        more = steps_within(left, self._per_step, n_pauses * pause)
        steps = -self.agree(-step - more)
        ruling = self.decisions.at(step)
        asked = self.decisions.at(0)
        every = asked.eval_every
        if every is None and (n_fewer := self.agree(usual - n_pauses)) > 0:
            every = math.ceil((steps - step) / (max(0, usual - n_fewer) + 1))
        schedule, place = (steps, step) if is_first else (ruling.schedule, ruling.place_of(step))
        is_last = steps == step + 1  # which is at the end of the schedule
        settings = replace(self.config, steps=steps, eval_every=every)
        self.decisions.add(
            step,
            steps=steps,
            place=schedule - 1 if is_last else min(place, schedule - 1),
            schedule=schedule,
            eval_every=every,
            eval_tokens=self.config.eval_tokens or evaluated_tokens(settings, self.tokens_per_step),
            final_tokens=self.agree(self._final_tokens() or 0) or None,
        )
        self._decided = self.wall_seconds
        self.go_to(step)


def pauses_within(seconds: float, pause_seconds: float, usual: int) -> int:
    """Return for how many validations and samples there is time in `seconds`: at most `usual`."""
    if not pause_seconds or pause_seconds * usual <= MOST_PAUSED * seconds:
        return usual
    return max(0, int(MOST_PAUSED * seconds / pause_seconds))


def steps_within(seconds: float, step_seconds: float, paused_seconds: float) -> int:
    """Return how many steps fit into `seconds` beside all pauses; 1 or more."""
    return max(1, int((seconds - paused_seconds) / step_seconds))


def evaluated_tokens(config: TrainConfig, tokens_per_step: int) -> int:
    """Return how many tokens each validation may read, so that all take a small share of time."""
    times = config.steps // (config.eval_every or max(1, config.steps // EVALUATIONS))
    learnt = config.steps * tokens_per_step
    most = int(3 * EVALUATION_SHARE * learnt) // max(1, times)
    return min(MOST_EVALUATED, max(LEAST_EVALUATED, most))
