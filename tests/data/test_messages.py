"""Turns to messages: names of roles, parts of a content, what is left out and told."""

from __future__ import annotations

import json

import pytest

from groundup.data.messages import (
    EMPTY_SYSTEM,
    ROLES,
    UNANSWERED,
    RecordError,
    content_text,
    in_order,
    listed,
    turns_of,
)
from groundup.data.reading_log import ReadingLog
from tests.data.dialoguing import contents, said, shared


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("system", "system"),
        ("developer", "system"),
        ("user", "user"),
        ("Human", "user"),
        ("prompter", "user"),
        ("gpt", "assistant"),
        (" BOT ", "assistant"),
        ("model", "assistant"),
        ("chatbot", "assistant"),
    ],
)
def test_names_of_roles(name: str, role: str) -> None:
    assert [turn.role for turn in turns_of([{"from": name, "value": "x"}], "a")] == [role]
    assert set(ROLES.values()) == {"system", "user", "assistant"}


@pytest.mark.parametrize(
    "keys", [("role", "content"), ("from", "value"), ("role", "value"), ("role", "text")]
)
def test_keys_of_a_message(keys: tuple[str, str]) -> None:
    speaker, content = keys
    turn = turns_of([{speaker: "user", content: "hi\r\nyou", "name": "Ann"}], "a.jsonl, line 1")[0]
    assert (turn.role, turn.content, turn.place) == ("user", "hi\nyou", "message 1")


def test_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "What is"}, {"type": "text", "text": " it?"}]
    assert content_text(parts, "message 1", "a") == "What is it?"
    assert content_text("café".encode(), "message 1", "a") == "café"
    assert content_text(float("nan"), "message 1", "a") == ""
    with pytest.raises(RecordError, match="message 1 holds bytes that are no UTF-8; expected"):
        content_text(b"caf\xe9", "message 1", "a")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (said("a", "b"), said("a", "b")),
        (said("a")[0], said("a")),
        (json.dumps(shared("a", "b")), shared("a", "b")),
        (json.dumps(said("a")[0]), said("a")),
        ("[1, 2]", None),
        ('["a", "b"]', None),
        ('{"answer": 3}', None),
        ("[see below]", None),
        ("[" * 100_000, None),
        ("plain", None),
        (None, None),
    ],
)
def test_lists_of_messages(value: object, expected: object) -> None:
    assert listed(value) == expected


class TestOrder:
    def test_what_is_in_order_stays(self) -> None:
        log = ReadingLog()
        system = {"role": "system", "content": "Be brief."}
        given = [system, *said("a", "b", "c", "d")]
        assert in_order(turns_of(given, "a"), "a", log) == tuple(given)
        assert log.skipped == {}

    def test_a_last_question_and_an_empty_system_are_left_out(self) -> None:
        log = ReadingLog()
        given = [{"role": "system", "content": " "}, *said("a", "b", "c")]
        messages = in_order(turns_of(given, "a"), "a.jsonl, line 3", log)
        assert contents(messages) == "u:a a:b"
        places = {"count": 1, "where": ["a.jsonl, line 3"]}
        assert log.left_out == {EMPTY_SYSTEM: places, UNANSWERED: places}

    def test_nothing_is_counted_of_what_is_refused(self) -> None:
        log = ReadingLog()
        with pytest.raises(RecordError) as caught:
            in_order(turns_of(said("a", " ", "c"), "a"), "a", log)
        assert caught.value.kind == "records with an empty reply"
        assert log.skipped == {}

    def test_two_last_questions_are_refused(self) -> None:
        with pytest.raises(RecordError, match="message 4 is of the user, as the one before it"):
            in_order(turns_of([*said("a", "b", "c"), *said("d")], "a"), "a", ReadingLog())

    def test_white_space_around_a_content_stays(self) -> None:
        messages = in_order(turns_of(said(" a\n", "  return x\n"), "a"), "a", ReadingLog())
        assert contents(messages) == "u: a\n a:  return x\n"
