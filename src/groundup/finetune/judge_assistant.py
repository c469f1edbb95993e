"""What a finished assistant is worth: its test, beside the model that it was made from."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from groundup.device.allocator import give_back
from groundup.finetune.dialogue_rows import Learnable
from groundup.finetune.exam import Exam
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
from groundup.runs.load import load
from groundup.runs.record import read_run
from groundup.train.listener import Screen

EXAMPLES = 12
"""Questions that are shown with what was answered: the first ones, by hash."""

Before = Callable[[], GPT] | str
"""Makes the model as it was at step 0, or says why that cannot be had."""


@dataclass(frozen=True, kw_only=True)
class TrainedOn:
    """What is known of the training and its records."""

    split_rule: str
    left_out: dict[str, int]
    """How many records were not used, by reason."""
    splits: Sequence[Learnable]
    """What is left of the dialogues of each split; the last one is the test."""
    max_length: int
    padding: float
    unanswered: str = ""
    """Why there are no questions, if there are none."""


def judge_assistant(
    folder: RunFolder, exam: Exam, before: Before, learnt: TrainedOn, screen: Screen
) -> None:
    """Ask the model as it was, then the best checkpoint, and write assistant.json.

    One of the two is in memory at a time.
    """
    device = folder.train_config(folder.read()).device
    was, first = None, list[Reply]()
    if not isinstance(before, str):
        was, first = exam.taken_by(before().to(device), _told(screen, "before"))
        gc.collect()
        give_back()
    loaded = load(folder.path, device=device)
    for notice in loaded.notices:
        screen.notice(notice)
    now, replies = exam.taken_by(loaded.model, _told(screen, "after"))
    record = AssistantRecord(
        step=loaded.step,
        chosen_by="lowest loss on the validation dialogues",
        split=learnt.split_rule,
        asked=_asked(exam, learnt, now),
        after=now,
        before=was,
        before_missing=before if isinstance(before, str) else "",
        examples=_examples(exam, first, replies),
        left_out=learnt.left_out,
        cut=sum(one.n_cut for one in learnt.splits),
        lost=sum(one.n_lost for one in learnt.splits),
        straddling=sum(one.n_straddling for one in learnt.splits),
        max_length=learnt.max_length,
        padding=learnt.padding,
        seconds=read_run(folder.path).last("seconds"),
    )
    write_assistant(folder.assistant, record)


def _told(screen: Screen, when: str) -> Callable[[str, int, int], None]:
    return lambda what, done, total: screen.preparing(f"{what}, {when}", done, total)


def _asked(exam: Exam, learnt: TrainedOn, now: ModelFigures) -> Asked:
    questions, general = exam.questions, exam.general
    lengths = [len(answer.split()) for answer in questions.answers]
    return Asked(
        dialogues=len(learnt.splits[-1].rows),
        loss_dialogues=len(exam.rows),
        loss_tokens=exam.loss_tokens,
        questions=len(questions.dialogues),
        no_room=questions.no_room,
        unanswered="" if now.replies else learnt.unanswered or "none leaves room for its reply",
        max_tokens=questions.max_tokens,
        expected_words=statistics.median(lengths) if lengths else 0.0,
        general_text=general.name or None,
        general_missing=general.missing,
    )


def _examples(
    exam: Exam, first: Sequence[Reply], replies: Sequence[Reply]
) -> tuple[ReplyExample, ...]:
    shown = []
    for n, dialogue in enumerate(exam.questions.dialogues[:EXAMPLES]):
        *earlier, question, expected = dialogue.messages
        before = first[n] if first else None
        example = ReplyExample(
            where=dialogue.where,
            earlier=len(earlier),
            question=question["content"],
            expected=expected["content"],
            after=replies[n].text,
            after_ended=replies[n].ended,
            before=before.text if before else None,
            before_ended=before.ended if before else None,
        )
        shown.append(example)
    return tuple(shown)
