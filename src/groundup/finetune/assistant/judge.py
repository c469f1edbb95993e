"""What a finished assistant is worth: its test, beside the model that it was made from."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from groundup.device.allocator import give_back
from groundup.finetune.assistant.exam import Exam, Show
from groundup.finetune.assistant.general_task import change_between
from groundup.generate.questions import Reply
from groundup.model import GPT
from groundup.runs import RunFolder
from groundup.runs.assistant import (
    Asked,
    AssistantRecord,
    ModelFigures,
    ReplyExample,
    write_assistant,
)
from groundup.runs.kept_replies import KeptReply, write_replies
from groundup.runs.load import load
from groundup.runs.record import read_run
from groundup.train.listener import Screen

EXAMPLES = 12
"""Questions that are shown with what was answered: the first ones, by hash."""

Before = Callable[[], GPT] | str
"""Makes the model as it was at step 0, or says why that cannot be had."""
Answered = tuple[ModelFigures, list[Reply]]
"""The figures of a model, and what it replied to each question."""

T = TypeVar("T")


class Cut(Protocol):
    """What was cut off of the dialogues of a split: `Learnable`, `Pairs`."""

    @property
    def n_cut(self) -> int:
        """Dialogues of which the end was cut off."""

    @property
    def n_lost(self) -> int:
        """Tokens in those ends."""

    @property
    def n_straddling(self) -> int:
        """Tokens that count and hold a part of what stands around a reply, too."""


@dataclass(frozen=True, kw_only=True)
class TrainedOn:
    """What is known of the training and its records."""

    split_rule: str
    left_out: dict[str, int]
    """How many records were not used, by reason."""
    splits: Sequence[Cut]
    """The records of each split of which something may be cut off."""
    n_tested: int
    """Records of the test of which a reply is left."""
    max_length: int
    padding: float | None
    """The share of it in what was computed, if that is known."""
    chosen_by: str = "lowest loss on the validation dialogues"
    """Why the checkpoint that is tested is the best one."""

    def as_fields(self) -> dict[str, Any]:
        """Return these as fields of an `AssistantRecord`."""
        return {
            "chosen_by": self.chosen_by,
            "split": self.split_rule,
            "left_out": self.left_out,
            "cut": sum(one.n_cut for one in self.splits),
            "lost": sum(one.n_lost for one in self.splits),
            "straddling": sum(one.n_straddling for one in self.splits),
            "max_length": self.max_length,
            "padding": self.padding,
        }


def judge_assistant(
    folder: RunFolder, exam: Exam, before: Before, learnt: TrainedOn, screen: Screen
) -> None:
    """Ask the model as it was, then the best checkpoint; write replies.jsonl and assistant.json."""
    was, now, step = in_turn(folder, before, exam.taken_by, screen)
    write_replies(folder.replies, replies_of(exam, was, now))
    write_assistant(folder.assistant, record_of(folder, exam, before, learnt, was, now, step))


def record_of(
    folder: RunFolder,
    exam: Exam,
    before: Before,
    learnt: TrainedOn,
    was: Answered | None,
    now: Answered,
    step: int,
) -> AssistantRecord:
    """Return the record of what was found of the model as it was, and of the checkpoint `step`."""
    return AssistantRecord(
        step=step,
        asked=asked_of(exam, learnt.n_tested, now[0]),
        after=now[0],
        before=was[0] if was else None,
        before_missing=before if isinstance(before, str) else "",
        task_change=change_between(was[0].task if was else None, now[0].task),
        examples=tuple(map(example_of, replies_of(exam, was, now)[:EXAMPLES])),
        seconds=read_run(folder.path).last("seconds"),
        **learnt.as_fields(),
    )


def replies_of(exam: Exam, was: Answered | None, now: Answered) -> list[KeptReply]:
    """Return all questions, in the order of their hashes, with what both models replied."""
    first, replies = was[1] if was else [], now[1]
    return [
        KeptReply(
            where=dialogue.where,
            messages=dialogue.messages[:-1],
            expected=dialogue.messages[-1]["content"],
            after=replies[n].text,
            after_ended=replies[n].ended,
            before=first[n].text if first else None,
            before_ended=first[n].ended if first else None,
        )
        for n, dialogue in enumerate(exam.questions.dialogues)
    ]


def in_turn(
    folder: RunFolder, before: Before, ask: Callable[[GPT, Show], T], screen: Screen
) -> tuple[T | None, T, int]:
    """Return what was found of the model as it was, if it can be had, and of the best checkpoint.

    And the step of that. One of the two models is in memory at a time.
    """
    device = folder.train_config(folder.read()).device
    was: T | None = None
    if not isinstance(before, str):
        was = ask(before().to(device), _told(screen, "before"))
        gc.collect()
        give_back()
    loaded = load(folder.path, device=device)
    for notice in loaded.notices:
        screen.notice(notice)
    return was, ask(loaded.model, _told(screen, "after")), loaded.step


def _told(screen: Screen, when: str) -> Show:
    return lambda what, done, total: screen.preparing(f"{what}, {when}", done, total)


def asked_of(exam: Exam, n_dialogues: int, now: ModelFigures) -> Asked:
    """Return what both models were given."""
    questions, general, task = exam.questions, exam.general, exam.task
    lengths = [len(answer.split()) for answer in questions.answers]
    return Asked(
        dialogues=n_dialogues,
        loss_dialogues=len(exam.rows),
        loss_tokens=exam.loss_tokens,
        questions=len(questions.dialogues),
        no_room=questions.no_room,
        unanswered="" if now.replies else exam.unanswered or "none leaves room for its reply",
        max_tokens=questions.max_tokens,
        expected_words=statistics.median(lengths) if lengths else 0.0,
        general_text=general.name or None,
        general_missing=general.missing,
        general_task=task.name or None,
        task_documents=len(task.questions),
        task_missing=task.missing,
    )


def example_of(one: KeptReply) -> ReplyExample:
    """Return a question with what was replied, as a report shows it."""
    *earlier, question = one.messages
    return ReplyExample(
        where=one.where,
        earlier=len(earlier),
        question=question["content"],
        expected=one.expected,
        after=one.after,
        after_ended=one.after_ended,
        before=one.before,
        before_ended=one.before_ended,
    )
