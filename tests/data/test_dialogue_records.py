"""One record to a dialogue, a text or a preference, in each of the ways that it may be written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from groundup.base.errors import DataError
from groundup.data.dialogue import Dialogue, PlainText, Preference
from groundup.data.dialogue_formats import choose_format
from groundup.data.dialogue_records import entry_of
from groundup.data.reading_log import ReadingLog
from groundup.data.text_fields import Survey
from tests.data.dialoguing import contents, said, shared

SYSTEM = {"role": "system", "content": "Be brief."}
TALK = "\n\nHuman: Two?\n\nAssistant: 2\n\nHuman: Three?\n\nAssistant:"


def read(record: Any) -> Dialogue | PlainText | Preference:
    survey = Survey()
    survey.add(record)
    chosen = choose_format([("a", record)], survey, "a", None)
    return entry_of(record, chosen, "a, record 1", ReadingLog())


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"instruction": "Add.", "input": "1, 2", "output": "3"}, "u:Add.\n\n1, 2 a:3"),
        ({"instruction": "Add.", "input": " ", "output": "3"}, "u:Add. a:3"),
        ({"instruction": "Add.", "input": None, "output": "3"}, "u:Add. a:3"),
        ({"instruction": "Add.", "context": "1, 2", "response": "3"}, "u:Add.\n\n1, 2 a:3"),
        (
            {"system": "s", "history": [["a", "b"]], "instruction": "c", "output": "d"},
            "s:s u:a a:b u:c a:d",
        ),
        ({"system": "", "history": [], "instruction": "c", "output": "d"}, "u:c a:d"),
        ({"messages": [SYSTEM, *said("a", "b")]}, "s:Be brief. u:a a:b"),
        ({"messages": json.dumps(said("a", "b"))}, "u:a a:b"),
        ({"system": "s", "conversations": shared("a", "b")}, "s:s u:a a:b"),
        (said("a", "b"), "u:a a:b"),
        ({"prompt": "a", "completion": "b"}, "u:a a:b"),
        ({"prompt": "[sic]", "completion": '{"n": 3}'}, 'u:[sic] a:{"n": 3}'),
        ({"prompt": [SYSTEM, *said("a")], "completion": said("b", first="assistant")},
         "s:Be brief. u:a a:b"),
        ({"prompt": said("a", "b", "c"), "completion": "d"}, "u:a a:b u:c a:d"),
        ({"prompt": json.dumps(said("a")), "completion": "b"}, "u:a a:b"),
        ({"prompt": "Human: a\n\nAssistant:", "completion": "b"}, "u:a a:b"),
        ({"prompt": "Go on.\n\nHuman: a", "completion": "b"}, "u:Go on.\n\nHuman: a a:b"),
        ({"question": "a", "answer": "b", "context": "x"}, "u:a\n\nx a:b"),
    ],
)  # fmt: skip
def test_dialogues(record: Any, expected: str) -> None:
    entry = read(record)
    assert isinstance(entry, Dialogue)
    assert contents(entry.messages) == expected
    assert entry.where == "a, record 1"


@pytest.mark.parametrize("record", ["One\r\ntext.", {"text": "One\ntext."}])
def test_texts(record: Any) -> None:
    assert read(record) == PlainText("One\ntext.", "a, record 1")


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "u:a | b | c"),
        ({"system": "s", "question": "a", "chosen": "b", "rejected": "c"}, "s:s u:a | b | c"),
        ({"instruction": "a", "input": "x", "chosen": "b", "rejected": "c"}, "u:a\n\nx | b | c"),
        (
            {
                "prompt": said("a", "b", "c"),
                "chosen": said("d", first="assistant"),
                "rejected": said("e", first="assistant"),
            },
            "u:a a:b u:c | d | e",
        ),
        ({"chosen": said("a", "b"), "rejected": said("a", "c")}, "u:a | b | c"),
        (
            {"chosen": [SYSTEM, *said("a", "b", "c", "d")],
             "rejected": [SYSTEM, *said("a", "b", "c", "e")]},
            "s:Be brief. u:a a:b u:c | d | e",
        ),
        ({"prompt": "a", "chosen": said("a", "b"), "rejected": said("a", "c")}, "u:a | b | c"),
        ({"prompt": None, "chosen": said("a", "b"), "rejected": said("a", "c")}, "u:a | b | c"),
        (
            {"system": "s", "prompt": "a", "chosen": said("a", "b"), "rejected": said("a", "c")},
            "s:s u:a | b | c",
        ),
        (
            {"conversations": shared("a", "b", "c"), "chosen": {"from": "gpt", "value": "d"},
             "rejected": {"from": "gpt", "value": "e"}},
            "u:a a:b u:c | d | e",
        ),
        (
            {"chosen": f"{TALK} three", "rejected": f"{TALK} 3\n\nand more"},
            "u:Two? a:2 u:Three? | three | 3\n\nand more",
        ),
        ({"prompt": TALK, "chosen": "three", "rejected": "3"}, "u:Two? a:2 u:Three? | three | 3"),
    ],
)  # fmt: skip
def test_preferences(record: Any, expected: str) -> None:
    entry = read(record)
    assert isinstance(entry, Preference)
    assert f"{contents(entry.messages)} | {entry.chosen} | {entry.rejected}" == expected


@pytest.mark.parametrize("reply", ["x", " \n"])
def test_both_replies_are_looked_at(reply: str) -> None:
    for better, worse in (("x", reply), (reply, "x")):
        with pytest.raises(DataError, match=r"are equal|is empty"):
            read({"prompt": "a", "chosen": better, "rejected": worse})
