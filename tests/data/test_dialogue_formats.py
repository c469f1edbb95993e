"""Which format records have: each of those that are known, and what its parts are."""

from __future__ import annotations

from typing import Any

import pytest

from groundup.base.errors import DataError, UsageError
from groundup.data.dialogue_formats import FORMATS, Chosen, check_format, choose_format
from groundup.data.text_fields import Survey
from tests.data.dialoguing import RECORDS, records, said, shared


def chosen(*given: Any, asked: str | None = None) -> Chosen:
    survey = Survey()
    held = survey.add_until((f"a.jsonl, line {n}", record) for n, record in enumerate(given, 1))
    return choose_format(held, survey, "a.jsonl", asked)


@pytest.mark.parametrize("name", RECORDS)
def test_each_is_detected(name: str) -> None:
    assert list(RECORDS) == list(FORMATS)
    assert chosen(*records(name)).format == name
    assert chosen(*records(name), asked=name) == chosen(*records(name))


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (
            {"instruction": "a", "input": "b", "output": "c", "text": "a b c"},
            "read as alpaca (instruction, input, output; not used: text)",
        ),
        (
            {"instruction": "a", "context": "b", "response": "c", "category": "qa"},
            "read as alpaca (instruction, context, response; not used: category)",
        ),
        (
            {"instruction": "a", "output": "c", "system": "s", "history": [["x", "y"]]},
            "read as alpaca (system, history, instruction, output)",
        ),
        (
            {"system_prompt": "s", "question": "a", "response": "b"},
            "read as question-answer (system_prompt, question, response)",
        ),
        ({"prompt": "a", "response": "b"}, "read as prompt-completion (prompt, response)"),
        ({"prompt": said("a"), "completion": said("b")}, "read as prompt-completion"),
        ({"prompt": "a", "messages": said("a", "b")}, "read as messages (messages; not used: prom"),
        ({"conversations": said("a", "b")}, "read as messages (conversations)"),
        ({"conversation": '[{"from": "human", "value": "a"}]'}, "read as sharegpt (conversation)"),
        ({"system": "s", "conversations": shared("a", "b")}, "read as sharegpt (system, conv"),
        (said("a", "b"), "read as messages (the record itself)"),
        ("a text", "read as text (the record itself)"),
        ({"text": "a text", "label": 3}, "read as text (text; not used: label)"),
        (
            {"prompt": "a", "chosen": said("a", "b"), "rejected": said("a", "c"), "messages": []},
            "read as preferences (prompt, chosen, rejected; not used: messages)",
        ),
        (
            {"conversations": shared("a"), "chosen": shared("b")[0], "rejected": shared("c")[0]},
            "read as preferences (conversations, chosen, rejected)",
        ),
        (
            {"question": "a", "chosen": "b", "rejected": "c"} | {f"n{k}": k for k in range(9)},
            "read as preferences (question, chosen, rejected; not used: n0, n1, n2, n3, n4, n5, …)",
        ),
    ],
)
def test_parts_are_shown(record: Any, line: str) -> None:
    assert str(chosen(record)).startswith(line)


def test_records_without_any_format_among_others_are_left_to_their_reader() -> None:
    given = [{"instruction": "a", "output": None}, {"text": "b"}, "c", DataError("broken"), None]
    assert chosen(*records("alpaca", 1), *given).format == "alpaca"


def test_another_format_anywhere_in_the_sample_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"alpaca \(first: line 1\) and messages \(first: line 41\)"
    ):
        chosen(*records("alpaca", 40), *records("messages", 1))


def test_a_format_that_is_asked_for_decides() -> None:
    both = {"prompt": "a", "completion": "b", "messages": said("c", "d")}
    assert str(chosen(both, asked="messages")) == (
        "read as messages (messages; not used: prompt, completion)"
    )
    assert chosen(*records("alpaca", 2), *records("messages", 1), asked="messages").fields == {
        "messages": "messages"
    }


@pytest.mark.parametrize(
    ("values", "followed"),
    [
        (["train", "test"], True),
        (["train", "validation"], True),
        (["train", "web"], False),
        (["train", "test", "web"], True),
        (["train", "training", "web"], False),
        ([1, 2], False),
        ([None, None], False),
    ],
)
def test_split_is_followed_where_it_is_one(values: list[Any], followed: bool) -> None:
    found = chosen(*(RECORDS["alpaca"](n) | {"split": value} for n, value in enumerate(values)))
    assert found.says_split is followed
    assert ("divided by split" in str(found)) is followed


def test_an_unknown_format() -> None:
    check_format(None)
    check_format("alpaca")
    with pytest.raises(UsageError, match="did you mean 'preferences'"):
        check_format("DPO")
