"""A public task that has nothing to do with the dialogues: it, too, shows what is forgotten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from groundup.base.errors import GroundupError
from groundup.base.words import counted
from groundup.evaluate.candidate import Candidate
from groundup.evaluate.classification import mcnemar
from groundup.evaluate.intervals import wilson
from groundup.evaluate.run_task import score_documents, tokenized
from groundup.evaluate.task_files import read_questions
from groundup.evaluate.tasks import Question
from groundup.finetune.settings import InstructSettings
from groundup.model import GPT
from groundup.runs.task_figures import TaskChange, TaskFigures
from groundup.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class GeneralTask:
    """The questions of a task, the same for both models; none where `missing` says why."""

    name: str = ""
    questions: Sequence[Question] = ()
    labels: Sequence[str] = ()
    """Where each document stands, for errors."""
    start: Sequence[int] = ()
    """The token that begins every text, where the model knows one."""
    missing: str = ""
    """Why there are none, "" where no task was asked for."""

    @property
    def title(self) -> str:
        """The task and how many of its documents are asked."""
        return f"{self.name}, {counted(len(self.questions), 'document')}"

    def check(self, tokenizer: Tokenizer, context_length: int) -> None:
        """Refuse a document that does not fit the model, before anything is learnt."""
        if self.questions:
            tokenized(tokenizer, context_length, self.questions, self.labels, self.start)

    def asked_of(
        self, model: GPT, tokenizer: Tokenizer, progress: Callable[[int, int], None]
    ) -> TaskFigures | None:
        """Return how many documents a model answers right; None where none is asked."""
        if not self.questions:
            return None
        candidate = Candidate(model, tokenizer, self.start)
        found, _ = score_documents(
            candidate, self.name, self.questions, labels=self.labels, progress=progress
        )
        n, right = len(found), sum(int(one["acc"]) for one in found)
        by_length = [one["acc_norm"] for one in found if "acc_norm" in one]
        return TaskFigures(
            right=right,
            accuracy=right / n,
            interval=wilson(right, n),
            normalised=sum(by_length) / n if by_length else None,
            outcomes="".join(str(int(one["acc"])) for one in found),
        )


def general_task(asked: InstructSettings, start: int | None, has_begun: bool) -> GeneralTask:
    """Return the task that was asked for.

    What cannot be read is an error, but of a run that has begun: there it is not measured.
    """
    if asked.general_task is None:
        return GeneralTask()
    name, data = asked.general_task, Path(asked.task_data or "")
    try:
        labels, questions = read_questions(name, data, asked.task_limit)
    except GroundupError as error:
        if not has_begun:
            raise
        return GeneralTask(name=name, missing=str(error))
    begins = () if start is None else (start,)
    return GeneralTask(name=name, questions=questions, labels=labels, start=begins)


def change_between(before: TaskFigures | None, after: TaskFigures | None) -> TaskChange | None:
    """Return which documents only one of the two models answered right, where both were asked."""
    if before is None or after is None:
        return None
    was, now = (np.array([c == "1" for c in one.outcomes]) for one in (before, after))
    found = mcnemar(was, now)
    return TaskChange(only_before=found.only_a, only_after=found.only_b, p_value=found.p_value)
