"""Which questions are asked: chosen by hash, with room for their reply, of known kinds."""

from __future__ import annotations

import random

import pytest

from groundup import ByteTokenizer
from groundup.data.dialogue import Dialogue
from groundup.data.tasks import make_tasks
from groundup.finetune.assistant.exam import (
    LEAST_REPLY_TOKENS,
    MOST_REPLY_TOKENS,
    OTHER,
    Questions,
    choose_questions,
    kinds_of,
)
from groundup.generate.template import CHATML, CHATML_TOKENS, ChatTemplate
from groundup.tokenizer import with_special_tokens

TOKENIZER = with_special_tokens(ByteTokenizer(), CHATML_TOKENS)


def dialogue(question: str, answer: str) -> Dialogue:
    messages = ({"role": "user", "content": question}, {"role": "assistant", "content": answer})
    return Dialogue(messages, f"a.jsonl, {question}")


def chosen(dialogues: list[Dialogue], n: int = 5, context_length: int = 512) -> Questions:
    return choose_questions(dialogues, n, ChatTemplate(CHATML), TOKENIZER, context_length)


def test_the_same_are_chosen_in_any_order_and_more_begin_with_fewer() -> None:
    talks = [dialogue(f"question {n}", f"answer {n}") for n in range(30)]
    first = chosen(talks).dialogues
    random.Random(1).shuffle(talks)
    assert chosen(talks).dialogues == first
    assert chosen(talks, 8).dialogues[:5] == first
    assert first != talks[:5]
    assert len(chosen(talks, 100).dialogues) == 30
    assert chosen(talks, 0) == Questions([], 0, LEAST_REPLY_TOKENS)


def test_a_question_needs_room_for_its_reply_and_the_end_of_it() -> None:
    one = dialogue("q", "answer")
    prompt = ChatTemplate(CHATML).encode(TOKENIZER, one.messages[:-1])
    least = len(prompt) + len("answer") + 1
    assert chosen([one], context_length=least).dialogues == [one]
    short = chosen([one], context_length=least - 1)
    assert (short.dialogues, short.no_room) == ([], 1)


@pytest.mark.parametrize(
    ("length", "most"),
    [(5, LEAST_REPLY_TOKENS), (99, 200), (400, MOST_REPLY_TOKENS)],
)
def test_replies_may_be_twice_as_long_as_the_longest_expected(length: int, most: int) -> None:
    talks = [dialogue("q", "a" * length), dialogue("r", "a")]
    assert chosen(talks).max_tokens == most


def test_kinds_are_those_of_the_tasks() -> None:
    tasks = make_tasks("test", 3)
    talks = [dialogue(task.question, task.answer) for task in tasks]
    assert kinds_of(talks) == [task.kind for task in tasks]
    assert kinds_of([dialogue("What is this?", "It")]) == [OTHER]
