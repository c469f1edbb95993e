"""The tasks: how a document becomes a question with one right answer, worded as the language
model evaluation harness (EleutherAI's lm-eval) words it, so that figures compare.

    lambada         Paperno et al., 2016         hellaswag     Zellers et al., 2019
    arc_*           Clark et al., 2018           piqa          Bisk et al., 2020
    winogrande      Sakaguchi et al., 2020
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from groundup.base.errors import DataError, UsageError, nearest
from groundup.tokenizer import Tokenizer

if TYPE_CHECKING:
    from groundup.evaluate.rows import Request


@dataclass(frozen=True)
class Question:
    """Pairs of a context and what may follow it, and which pair is right."""

    pairs: list[tuple[str, str]]
    gold: int
    lengths: list[int]
    """Characters of each answer, by which acc_norm divides."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A public benchmark."""

    question: Callable[[dict[str, Any]], Question]
    fields: tuple[str, ...]
    """What a document has, as its publishers name it."""
    metrics: tuple[str, ...]
    hub: tuple[str, str | None]
    """Name and configuration of the dataset on the Hugging Face hub."""
    split: str
    """The split of the dataset that is evaluated."""


def lambada(document: dict[str, Any]) -> Question:
    """Guess the last word of a passage."""
    context, _, word = document["text"].rpartition(" ")
    return Question([(context, f" {word}")], 0, [len(word)])


def hellaswag(document: dict[str, Any]) -> Question:
    """Choose how a scene goes on."""
    scene = f"{document['ctx_a']} {document['ctx_b'].capitalize()}"
    context = _without_artefacts(f"{document['activity_label']}: {scene}")
    endings = [_without_artefacts(ending) for ending in document["endings"]]
    return _answers(context, endings, int(document["label"]))


def _without_artefacts(text: str) -> str:
    """Drop what is left of WikiHow's markup."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


def arc(document: dict[str, Any]) -> Question:
    """Answer a question of school science."""
    choices = document["choices"]
    gold = choices["label"].index(document["answerKey"])
    return _answers(f"Question: {document['question']}\nAnswer:", choices["text"], gold)


def piqa(document: dict[str, Any]) -> Question:
    """Choose how to do something in the physical world."""
    solutions = [document["sol1"], document["sol2"]]
    return _answers(f"Question: {document['goal']}\nAnswer:", solutions, int(document["label"]))


def winogrande(document: dict[str, Any]) -> Question:
    """Choose whom a sentence means: the rest of it is scored after each name, not the names."""
    before, gap, after = document["sentence"].partition("_")
    if not gap:
        raise ValueError("no _ in the sentence")
    contexts = [before + document[name] for name in ("option1", "option2")]
    pairs = [(context, f" {after.strip()}") for context in contexts]
    return Question(pairs, ("1", "2").index(document["answer"]), [len(c) for c in contexts])


def _answers(context: str, choices: Sequence[str], gold: int) -> Question:
    if not 0 <= gold < len(choices):
        raise ValueError(f"answer {gold} of {len(choices)} choices")
    pairs = [(context, f" {choice}") for choice in choices]
    return Question(pairs, gold, [len(choice) for choice in choices])


CHOICE = ("acc", "acc_norm")
HELLASWAG_FIELDS = ("activity_label", "ctx_a", "ctx_b", "endings", "label")
ARC_FIELDS = ("question", "choices", "answerKey")
PIQA_FIELDS = ("goal", "sol1", "sol2", "label")
WINOGRANDE_FIELDS = ("sentence", "option1", "option2", "answer")

TASKS: dict[str, Task] = {
    "lambada": Task(
        question=lambada,
        fields=("text",),
        metrics=("acc", "perplexity"),
        hub=("EleutherAI/lambada_openai", "default"),
        split="test",
    ),
    "hellaswag": Task(
        question=hellaswag,
        fields=HELLASWAG_FIELDS,
        metrics=CHOICE,
        hub=("Rowan/hellaswag", None),
        split="validation",
    ),
    "arc_easy": Task(
        question=arc,
        fields=ARC_FIELDS,
        metrics=CHOICE,
        hub=("allenai/ai2_arc", "ARC-Easy"),
        split="test",
    ),
    "arc_challenge": Task(
        question=arc,
        fields=ARC_FIELDS,
        metrics=CHOICE,
        hub=("allenai/ai2_arc", "ARC-Challenge"),
        split="test",
    ),
    "piqa": Task(
        question=piqa,
        fields=PIQA_FIELDS,
        metrics=CHOICE,
        hub=("baber/piqa", None),
        split="validation",
    ),
    "winogrande": Task(
        question=winogrande,
        fields=WINOGRANDE_FIELDS,
        metrics=("acc",),
        hub=("allenai/winogrande", "winogrande_xl"),
        split="validation",
    ),
}


def task_named(name: str) -> Task:
    """Return a task of the table; an unknown name is a `UsageError`."""
    if name not in TASKS:
        raise UsageError(f"task '{name}': no such task; {nearest(name, TASKS)}")
    return TASKS[name]


def question_of(task: Task, document: Any, label: str) -> Question:
    """Word a document; one that lacks something is a `DataError` naming where it stands."""
    try:
        if missing := [field for field in task.fields if document.get(field) is None]:
            raise ValueError(f"it has no {missing[0]}")
        return task.question(document)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"{label}: expected a document with the fields {', '.join(task.fields)}, but {error}; "
            "give the file of this task, with its answers"
        ) from error


def encode_pair(
    tokenizer: Tokenizer, context: str, continuation: str, start: Sequence[int] = ()
) -> Request:
    """Return a context and what follows it as token ids, `start` before them.

    Spaces at the end of the context go to the continuation, where the tokenizer has learnt them.
    Both are encoded as one text, and what the context alone does not take is the continuation.
    An empty context is `start` alone.
    """
    from groundup.evaluate.rows import Request

    kept = context.rstrip()
    whole = tokenizer.encode(context + continuation)
    n_context = len(tokenizer.encode(kept))
    return Request([*start, *whole[:n_context]], whole[n_context:])
