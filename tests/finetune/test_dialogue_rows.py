"""Dialogues become ids: cut to the context, and what was lost is counted."""

from __future__ import annotations

import pytest

from groundup import ByteTokenizer, CharTokenizer
from groundup.base.errors import DataError
from groundup.data.dialogue import Dialogue, PlainText, Preference
from groundup.finetune.assistant.dialogue_rows import learnable, losses_of, unknown_in
from groundup.generate.replies import DialogueIds
from groundup.generate.template import ChatTemplate

SOURCE = "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}\n{% endfor %}"
LETTERS = CharTokenizer.train(["abcdefghijklmnopqrstuvwxyz: .?\n"])
TOKENIZER = LETTERS.ending(int(LETTERS.encode("?")[0]))


def talk(question: str, reply: str, where: str) -> Dialogue:
    """Return a question with its reply."""
    said = {"user": question, "assistant": reply}
    return Dialogue(tuple({"role": r, "content": c} for r, c in said.items()), where)


def learnt(row: DialogueIds) -> str:
    """Return what counts of a row, as text."""
    return TOKENIZER.decode([int(i) for i, c in zip(row.ids, row.counts, strict=True) if c])


def test_what_counts_is_cut_and_counted() -> None:
    entries: list[Dialogue | PlainText] = [
        talk("hi", "hello", "a, record 1"),
        PlainText("some text", "a, record 2"),
        talk("a long question of many words", "no", "a, record 3"),
        talk("hi", "a long reply of many words", "a, record 4"),
    ]
    found = learnable(entries, ChatTemplate(SOURCE), TOKENIZER, 20)
    assert [learnt(row) for row in found.rows] == ["hello?", "some text?", "a long reply o"]
    assert max(len(row.ids) for row in found.rows) == 21
    assert found.left_out == ("a, record 3",)
    assert (found.n_cut, found.n_lost) == (2, 16 + 13)
    for context, larger in ((21, "max_length"), (20, "context_length of the base")):
        (_, line) = losses_of([found], 20, context)
        assert line.endswith(f"(first: a, record 3); a larger {larger} keeps them")


def test_dialogues_of_which_no_reply_is_left_are_refused() -> None:
    entries = [talk("a long question of many words", "no", "a, record 1")]
    with pytest.raises(DataError) as error:
        learnable(entries, ChatTemplate(SOURCE), TOKENIZER, 20)
    assert str(error.value) == (
        "no reply is left of 1 at max_length = 20: all are cut off; give a larger one, or shorter "
        "dialogues"
    )


def test_what_begins_a_text_of_the_base_begins_a_plain_text_and_counts_nowhere() -> None:
    entries: list[Dialogue | PlainText] = [
        talk("hi", "hello", "a, record 1"),
        PlainText("some text", "a, record 2"),
    ]
    start = int(LETTERS.encode("z")[0])
    without = learnable(entries, ChatTemplate(SOURCE), TOKENIZER, 20)
    found = learnable(entries, ChatTemplate(SOURCE), TOKENIZER, 20, start)
    assert found.rows[0].ids.tolist() == without.rows[0].ids.tolist(), "a template writes its own"
    assert found.rows[1].ids.tolist() == [start, *without.rows[1].ids.tolist()]


def test_a_text_that_cannot_be_read_is_named() -> None:
    with pytest.raises(DataError, match=r"^a, record 7: "):
        learnable([PlainText("UPPER", "a, record 7")], ChatTemplate(SOURCE), TOKENIZER, 20)


def test_characters_that_the_tokenizer_skips_are_counted() -> None:
    entries: list[Dialogue | PlainText] = [
        talk("HI", "hEllO", "a, record 1"),
        PlainText("some TEXT", "a, record 2"),
    ]
    question = ({"role": "user", "content": "Hi"},)
    pair = Preference(question, "A", "bB", "a, record 3")
    skipping = CharTokenizer(LETTERS.alphabet, unknown="skip")
    skipping = skipping.ending(int(skipping.encode("?")[0]))
    found = learnable(entries, ChatTemplate(SOURCE), skipping, 20)
    assert [learnt(row) for row in found.rows] == ["hll?", "some ?"]
    so = "of the records not known to the tokenizer: the model cannot read or write them"
    assert unknown_in(entries, skipping) == [f"8 characters {so}"]
    assert unknown_in([pair], skipping) == [f"3 characters {so}"]
    assert unknown_in([talk("hi", "hello", "a, record 4")], skipping) == []
    assert unknown_in(entries, ByteTokenizer()) == []


def test_replies_that_no_token_ends_are_told() -> None:
    turns = [{"role": role, "content": "so"} for role in ("user", "assistant") * 3]
    entries = [Dialogue(tuple(turns), "a, record 1"), talk("hi", "hello", "a, record 2")]
    (line,) = losses_of([learnable(entries, ChatTemplate(SOURCE), TOKENIZER, 90)], 90, 90)
    assert line.startswith("2 answers not learnt to end, as the chat template ends none by a")
