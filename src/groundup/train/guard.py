"""Guards a training against steps that would harm it, or that teach it nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from groundup.base.errors import DataError
from groundup.config import TrainConfig
from groundup.data import Source
from groundup.train.health import MOST_RETURNS, SLOWED, DivergedError, Trouble, examine
from groundup.train.learner import Learner
from groundup.train.listener import Tensors
from groundup.train.progress import Progress
from groundup.train.records import Records

State = tuple[Progress, Tensors, Tensors]
"""A checkpoint: how far it is, the weights, and what the optimizer remembers."""

REMEDY = "give data with something to learn: a target of -100 is one to be ignored"


class NothingCounts(DataError):  # noqa: N818 - said of the data, as a fact
    """Training data without a target to learn from."""

    known_to_all = True


class GoBack(BaseException):
    """The run has to go back to its last checkpoint, for a trouble."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.text)
        self.trouble = trouble


def check_data(batches: Source) -> None:
    """Refuse training data that says by itself that there is nothing to learn from."""
    if batches.n_rows < 1:
        raise NothingCounts("the training data has no rows; give data with something to learn")
    if batches.n_targets == 0:
        raise NothingCounts(f"no target of the training data counts; {REMEDY}")


class Guard:
    """Decides, by the policies of `config`, whether a step is taken, and what is done if not."""

    def __init__(self, config: TrainConfig, learner: Learner, records: Records) -> None:
        self.config, self.learner, self.records = config, learner, records

    def allows(self, loss: float, norm: float, progress: Progress) -> bool:
        """Return whether a step of this loss and norm may be taken; tell of it, if anything is odd.

        Raises `GoBack` or `DivergedError` where the run cannot just go on.
        """
        trouble = examine(loss, norm, progress.recent, self.config)
        if trouble is None:
            return True
        if trouble.policy == "report":
            self.records.event("reported", progress.step + 1, trouble, "the step was taken")
            return True
        self._keep_batch(trouble, progress.step)
        self.learner.optimizer.zero_grad()
        if trouble.policy == "back":
            raise GoBack(trouble)
        progress.skipped += 1
        if trouble.policy == "stop" or progress.skipped > self.config.max_skips:
            self._give_up(trouble, progress.step)
        left = self.config.max_skips - progress.skipped
        self.records.event("skipped", progress.step + 1, trouble, f"{left} more may be skipped")
        return False

    def check_counted(self, progress: Progress) -> None:
        """Refuse to go on after a step without a counted target, if none has counted so far.

        So far is a whole pass or, where that is shorter, the whole run.
        """
        rows = (progress.step + 1) * self.config.sequences_per_step
        is_pass = rows >= self.learner.batches.n_rows
        is_run = progress.step + 1 >= self.records.clock.config.steps
        if not progress.recent and not progress.skipped and (is_pass or is_run):
            whole = "a whole pass" if is_pass else "the whole run"
            raise NothingCounts(
                f"no target of the training data counts, in {rows:,} rows, {whole}; {REMEDY}"
            )

    def slowed(
        self, before: Progress, trouble: Trouble, last_checkpoint: Callable[[], State | None]
    ) -> State:
        """Return the last checkpoint to go back to, from which on steps are smaller."""
        if before.went_back >= MOST_RETURNS or (state := last_checkpoint()) is None:
            self._give_up(trouble, before.step)
        progress = state[0]
        progress.went_back = before.went_back + 1
        progress.rate_scale = before.rate_scale * SLOWED
        outcome = f"to step {progress.step}, learning rates times {progress.rate_scale:g}"
        self.records.event("went back", before.step + 1, trouble, outcome)
        return state

    def _keep_batch(self, trouble: Trouble, step: int) -> None:
        """Hand out the batch, and the weights that were about to learn from it."""
        record = {"step": step + 1, "kind": trouble.kind, "reason": trouble.text}
        weights = self.learner.weights()
        for listener in self.records.listeners:
            listener.trouble(record, self.learner.batch(step), weights)

    def _give_up(self, trouble: Trouble, step: int) -> NoReturn:
        raise DivergedError(
            f"step {step + 1}: {trouble.text}; the weights are as before it and the "
            "last checkpoint stands; 'groundup replay RUN' looks into the batch; --set "
            "on_nonfinite=skip or =back goes on, a smaller learning_rate is another --run"
        )
