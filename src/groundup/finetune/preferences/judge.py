"""What a finished assistant has learnt from preferences: those of its test, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial

from groundup.data.dialogue import Preference
from groundup.finetune.assistant.exam import Exam, Show
from groundup.finetune.assistant.judge import Before, TrainedOn, in_turn, record_of
from groundup.finetune.preferences.job import STEPS, figures_of
from groundup.finetune.preferences.rows import Numbers, Pair, reference_log_probs
from groundup.generate.questions import Reply
from groundup.model import GPT
from groundup.runs import RunFolder
from groundup.runs.assistant import (
    DPO,
    ModelFigures,
    PairFigures,
    PairsRecord,
    ReplyExample,
    write_assistant,
)
from groundup.train.listener import Screen

Found = tuple[ModelFigures, list[Reply], PairFigures | None]


@dataclass(frozen=True, kw_only=True)
class PairExam:
    """What both models are asked: `exam` has the chosen replies, and questions to show."""

    exam: Exam
    pairs: Sequence[Pair]
    objective: str
    beta: float
    places: int
    """Tokens that go through a model at once."""

    def log_probs(self, model: GPT, show: Show) -> Numbers:
        """Return those of both replies of each pair (n, 2), by a model."""
        return reference_log_probs(model, self.pairs, partial(show, "pairs"), self.places)

    def figures(self, model: GPT, found: Numbers, known: Numbers | None) -> PairFigures | None:
        """Return what the log-probabilities by a model come to; `known` are those at step 0.

        None where the objective compares with these, and they are not known.
        """
        if self.objective == DPO and known is None:
            return None
        step = STEPS[self.objective](model, self.beta)
        whole = figures_of(step, self.pairs, found, known)
        return PairFigures(**{one.name: getattr(whole, one.name) for one in fields(PairFigures)})


def judge_pairs(
    folder: RunFolder,
    exam: PairExam,
    before: Before,
    learnt: TrainedOn,
    preferences: Sequence[Preference],
    screen: Screen,
) -> None:
    """Compare the replies of the test's pairs, by both models, and write assistant.json."""
    known: Numbers | None = None

    def ask(model: GPT, show: Show) -> Found:
        nonlocal known
        figures, replies = exam.exam.taken_by(model, show)
        found = exam.log_probs(model, show)
        if known is None and not isinstance(before, str):  # the model as it was is asked first
            known = found
        # A pair has no one right reply: those to the questions are shown, and not counted.
        figures = replace(figures, replies=None, ended=None)
        return figures, replies, exam.figures(model, found, known)

    was, now, step = in_turn(folder, before, ask, screen)
    first, replies = was[:2] if was else None, now[:2]
    found = record_of(folder, exam.exam, before, learnt, first, replies, step)
    record = replace(
        found,
        asked=replace(found.asked, unanswered=""),
        pairs=_record(exam, was, now),
        examples=_with_rejected(found.examples, preferences),
    )
    write_assistant(folder.assistant, record)


def _record(exam: PairExam, was: Found | None, now: Found) -> PairsRecord:
    lengths = [pair.n_counted for pair in exam.pairs]
    chosen, rejected = (sum(of_one) / len(lengths) for of_one in zip(*lengths, strict=True))
    return PairsRecord(
        objective=exam.objective,
        pairs=len(exam.pairs),
        chosen_length=chosen,
        rejected_length=rejected,
        after=now[2],
        before=was[2] if was else None,
    )


def _with_rejected(
    examples: Sequence[ReplyExample], preferences: Sequence[Preference]
) -> tuple[ReplyExample, ...]:
    rejected = {one.where: one.rejected for one in preferences}
    return tuple(replace(one, rejected=rejected[one.where]) for one in examples)
