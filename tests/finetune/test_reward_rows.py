"""Questions to be answered: which are asked, and from which seeds replies are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from groundup import ByteTokenizer, CharTokenizer
from groundup.base.errors import DataError, TokenizerError
from groundup.data.dialogue import Dialogue
from groundup.data.tasks import KINDS, TRAIN, make_tasks
from groundup.finetune.rewards.rows import (
    Prompt,
    PromptRows,
    Prompts,
    check_learnable,
    of_kinds,
    prompts_of,
)
from groundup.generate import CHATML, CHATML_TOKENS, ChatTemplate
from groundup.tokenizer import with_special_tokens

TOKENIZER = with_special_tokens(ByteTokenizer(), CHATML_TOKENS)
TEMPLATE = ChatTemplate(CHATML)


def talk(question: str, answer: str) -> Dialogue:
    messages = {"role": "user", "content": question}, {"role": "assistant", "content": answer}
    return Dialogue(messages, f"about {question}")


def source(n: int = 5, group: int = 3, seed: int = 1) -> PromptRows:
    rows = [Prompt(ids=(1,) * (number + 1), answer="a") for number in range(n)]
    return PromptRows(Prompts(rows), group, batch_size=2, seed=seed)


def test_a_pass_asks_each_question_once_and_a_row_is_a_function_of_its_number() -> None:
    rows = source()
    assert (rows.n_rows, rows.n_tokens, rows.n_targets) == (5, 3 * 15, 15)
    first, second = (rows.rows(begin, 5).arrays for begin in (0, 5))
    assert sorted(first["numbers"]) == sorted(second["numbers"]) == list(range(5))
    assert first["seeds"].shape == (5, 3)
    whole = rows.rows(0, 10).arrays
    for name, array in whole.items():
        alone = np.concatenate([rows.rows(number, 1).arrays[name] for number in range(10)])
        assert np.array_equal(array, alone)
    assert rows.rows(0, 2).n_tokens == 3 * int(first["numbers"][:2].sum() + 2)


def test_no_two_replies_are_drawn_from_the_same_seed() -> None:
    seeds = [source(seed=seed).rows(0, 2000).arrays["seeds"] for seed in (1, 2)]
    everything = np.concatenate(seeds).ravel()
    assert everything.min() >= 0
    # PyTorch's generator of the CPU knows the lower 32 bits.
    assert len(np.unique(everything % 2**32)) > 0.9999 * len(everything)


def test_tasks_are_known_by_their_questions_and_chosen_by_their_kinds() -> None:
    tasks = make_tasks(TRAIN, 5)
    dialogues = [talk(task.question, task.answer) for task in tasks] + [talk("Who?", "I.")]
    found = of_kinds(dialogues, ())
    assert [kind for _, kind in found] == [*(task.kind for task in tasks), ""]
    chosen = of_kinds(dialogues, ("upper-case", "compare"))
    assert {kind for _, kind in chosen} == {"upper-case", "compare"}
    assert len(chosen) == 10
    assert len(KINDS) == 10


def test_prompts_are_those_of_a_chat_and_what_leaves_no_room_is_left_out() -> None:
    pairs = [(talk("Who?", "I."), ""), (talk("Why" * 9, "x" * 40), "compare")]
    prompts = prompts_of(pairs, TEMPLATE, TOKENIZER, 100, 20)
    assert [list(row.ids) for row in prompts.rows] == [
        TEMPLATE.encode(TOKENIZER, one.messages[:-1]) for one, _ in pairs
    ]
    assert [(row.answer, row.kind) for row in prompts.rows] == [("I.", ""), ("x" * 40, "compare")]
    assert (prompts.left_out, prompts.n_too_long) == ((), 1)
    fewer = prompts_of(pairs, TEMPLATE, TOKENIZER, len(prompts.rows[1].ids) + 19, 20)
    assert fewer.left_out == ("about " + "Why" * 9,)
    assert fewer.rows == prompts.rows[:1]


def test_a_question_that_the_tokenizer_cannot_express_is_named() -> None:
    letters = with_special_tokens(CharTokenizer("abcdefghijklmnopqrstuvwxyz\n"), CHATML_TOKENS)
    with pytest.raises(TokenizerError, match=r"^about 7\?: character '7' .* is not among"):
        prompts_of([(talk("seven", "g"), ""), (talk("7?", "g"), "")], TEMPLATE, letters, 60, 4)


def test_what_cannot_be_learnt_is_refused() -> None:
    pairs = [(talk("Who?", "I."), "")]
    for max_length, max_tokens, words in (
        (20, 8, "no question of 1 leaves room for a reply of max_tokens = 8"),
        (99, 2, "all answers take more than max_tokens = 2"),
    ):
        prompts = prompts_of(pairs, TEMPLATE, TOKENIZER, max_length, max_tokens)
        with pytest.raises(DataError, match=words):
            check_learnable(prompts, max_length, max_tokens)
