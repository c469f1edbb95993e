"""An assistant's record, made by hand: 40 questions of two kinds, 1 right before and 30 after."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from groundup.evaluate.reply_scores import score_replies
from groundup.runs.assistant import (
    Asked,
    AssistantRecord,
    Ended,
    ModelFigures,
    PairFigures,
    PairsRecord,
    ReplyExample,
)
from groundup.runs.judgement import Judgement
from groundup.runs.reply_figures import ReplyFigures
from groundup.runs.task_figures import TaskChange, TaskFigures

QUESTION = "Sort these words: pear, apple"


def replies(right: int, kinds: int = 2) -> ReplyFigures:
    """Return the figures of 40 replies, of which the first so many are right."""
    given = ["yes"] * right + ["no"] * (40 - right)
    return score_replies(["yes"] * 40, given, ["sort-words", "compare"] * 20 if kinds > 1 else None)


def model_figures(right: int, ended: int, loss: float, bits: float | None) -> ModelFigures:
    return ModelFigures(
        loss=loss,
        replies=replies(right),
        ended=Ended(ended=ended, replies=40, share=ended / 40, interval=(0.1, 0.95)),
        bits_per_byte=bits,
        general_tokens=0 if bits is None else 65_536,
    )


def asked(**changes: Any) -> Asked:
    values: dict[str, Any] = {
        "dialogues": 50,
        "loss_dialogues": 50,
        "loss_tokens": 612,
        "questions": 40,
        "no_room": 2,
        "max_tokens": 64,
        "expected_words": 2.0,
        "general_text": "the validation part of factbook",
    }
    return Asked(**(values | changes))


def example(**changes: Any) -> ReplyExample:
    values: dict[str, Any] = {
        "where": "tasks, test 17",
        "earlier": 0,
        "question": QUESTION,
        "expected": "apple, pear",
        "after": "apple, pear",
        "after_ended": True,
        "before": "Sort these words.\nSort",
        "before_ended": False,
    }
    return ReplyExample(**(values | changes))


def judgement(**changes: Any) -> Judgement:
    """Return what a judge found of 40 questions: 24 won, 6 lost, 10 ties of three kinds."""
    values: dict[str, Any] = {
        "url": "http://localhost:8000/v1", "model": "wise", "questions": 40, "won": 24, "lost": 6,
        "tied": 3, "by_order": 5, "same": 2, "unparsed": 0, "failed": 0, "win_rate": 0.725,
        "interval": (0.572, 0.839), "first": 35, "second": 31, "even": 10, "unparsed_answers": 0,
        "quotes": (), "words_before": 12.0, "words_after": 7.5,
    }  # fmt: skip
    return Judgement(**(values | changes))


def with_task(**changes: Any) -> AssistantRecord:
    """Return the record of one that was asked 8 documents of piqa: 6 right before, 5 after."""
    was = TaskFigures(
        right=6, accuracy=0.75, interval=(0.409, 0.929), normalised=0.625, outcomes="11111100"
    )
    now = TaskFigures(
        right=5, accuracy=0.625, interval=(0.306, 0.863), normalised=0.5, outcomes="11110001"
    )
    values: dict[str, Any] = {
        "asked": asked(general_task="piqa", task_documents=8),
        "before": replace(model_figures(1, 3, 3.25, 1.0), task=was),
        "after": replace(model_figures(30, 38, 0.512, 1.02), task=now),
        "task_change": TaskChange(only_before=2, only_after=1, p_value=1.0),
    }
    return record(**(values | changes))


def of_pairs(objective: str = "dpo", **changes: Any) -> AssistantRecord:
    """Return the record of one that learnt preferences: of 40 pairs, 30 are told right now."""
    before = PairFigures(
        loss=0.6931, accuracy=0.5, interval=(0.352, 0.648), margin=0.0, preferred_length=11.0,
        chosen_drift=0.0, rejected_drift=0.0,
    )  # fmt: skip
    after = PairFigures(
        loss=0.5312, accuracy=0.75, interval=(0.598, 0.859), margin=0.42, preferred_length=12.5,
        chosen_drift=-1.5, rejected_drift=-5.25,
    )  # fmt: skip
    pairs = PairsRecord(
        objective=objective, pairs=40, chosen_length=12.0, rejected_length=10.0,
        before=before, after=after,
    )  # fmt: skip
    nothing: dict[str, Any] = {"replies": None, "ended": None}
    values: dict[str, Any] = {
        "pairs": pairs,
        "after": replace(model_figures(0, 0, 2.5, 1.02), **nothing),
        "before": replace(model_figures(0, 0, 2.25, 1.0), **nothing),
        "examples": (example(rejected="pear"),) * 3,
        "padding": None,
    }
    return record(**(values | changes))


def record(**changes: Any) -> AssistantRecord:
    values: dict[str, Any] = {
        "step": 300,
        "chosen_by": "lowest loss on the validation dialogues",
        "split": "in the order of SHA-256 of seed and question",
        "asked": asked(),
        "after": model_figures(30, 38, 0.512, 1.02),
        "before": model_figures(1, 3, 3.25, 1.0),
        "examples": (example(),) * 8,
        "left_out": {"repeated records (the first stays)": 3, "others": 0},
        "cut": 5,
        "lost": 120,
        "straddling": 4,
        "max_length": 256,
        "padding": 0.031,
        "seconds": 93.0,
    }
    return AssistantRecord(**(values | changes))
