# ruff: noqa: E501 - a line each, as it comes back
"""What is wrong with dialogues is told in one line: where, what was expected, what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from groundup.base.errors import DataError, GroundupError, UsageError
from groundup.data.dialogues import prepare_dialogues
from tests.data.dialoguing import RECORDS, records, said, shared
from tests.data.labelling import csv_rows, jsonl, messages

SYSTEM = {"role": "system", "content": "Be brief."}
PART = {"type": "text", "text": "What is it?"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://a.org/x.png"}}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}


def after(name: str, *others: Any) -> str:
    """Return 12 good records of a format in JSON Lines, and others, from line 13 on."""
    return jsonl(*records(name), *others)


def alpaca(**changed: Any) -> str:
    return after("alpaca", RECORDS["alpaca"](12) | changed)


def chat(*messages: Any) -> str:
    return after("messages", {"messages": messages})


def pair(**changed: Any) -> str:
    return after("preferences", RECORDS["preferences"](12) | changed)


def pairs_of_chats(chosen: Any, rejected: Any) -> str:
    first = {"chosen": said("Two?", "yes"), "rejected": said("Two?", "no")}
    return jsonl(first, {"chosen": chosen, "rejected": rejected})


Case = tuple[dict[str, str | bytes], dict[str, Any]]
CASES: dict[str, str | Case] = {
    "empty reply": alpaca(output=" "),
    "empty instruction": alpaca(instruction=""),
    "missing output": after("alpaca", {"instruction": "Double 12."}),
    "null output": alpaca(output=None),
    "output that is a number": alpaca(output=24),
    "output that is a list": alpaca(output=["24"]),
    "output that is true": alpaca(output=True),
    "several of them": after("alpaca", *[{"instruction": "x", "output": ""}] * 3),
    "half a surrogate": alpaca(output="\ud800"),
    "NUL": alpaca(output="a\0b"),
    "history of another form": alpaca(history=["a", "b"]),
    "history that is a number": alpaca(history=-1),
    "history without a reply": alpaca(history=[["a"]]),
    "missing completion": after("prompt-completion", {"prompt": "Double 12."}),
    "completion of the user": after(
        "prompt-completion", {"prompt": said("hi"), "completion": said("hi")}
    ),
    "answers in a list": jsonl({"question": "Two?", "answers": ["2", "two"]}),
    "no reply": chat(*said("hi")),
    "no messages": chat(),
    "null messages": after("messages", {"messages": None}),
    "empty message of the assistant": chat(*said("hi", "")),
    "null content": chat(said("hi")[0], {"role": "assistant", "content": None}),
    "empty message of the user": chat(*said("hi", "ho", " ", "ho")),
    "assistant first": chat(*said("hi", "ho", first="assistant")),
    "two of the user": chat(*said("hi"), *said("you", "ho")),
    "two of the assistant": chat(*said("hi", "ho"), *said("ho", first="assistant")),
    "system in between": chat(*said("hi", "ho"), SYSTEM, *said("hi", "ho")),
    "system twice": chat(SYSTEM, SYSTEM, *said("hi", "ho")),
    "only system": chat(SYSTEM),
    "unknown role": chat({"role": "narrator", "content": "once"}, *said("hi", "ho")),
    "empty role": chat({"role": "", "content": "hi"}, *said("hi", "ho")),
    "role that is a number": chat({"role": 1, "content": "hi"}, *said("hi", "ho")),
    "a tool speaks": chat(*said("hi", "ho"), {"role": "tool", "content": "3"}),
    "a tool is called": chat(*said("hi"), CALL),
    "no role": chat({"content": "hi"}, {"content": "ho"}),
    "message that is a string": chat("hi", "ho"),
    "messages that are a string": after("messages", {"messages": "hi"}),
    "content that is an object": chat({"role": "user", "content": {"a": 1}}, *said("ho")),
    "image": chat({"role": "user", "content": [PART, IMAGE]}, said("hi", "ho")[1]),
    "part that is a string": chat({"role": "user", "content": ["hi"]}, said("hi", "ho")[1]),
    "weight of 0": chat(said("hi")[0], {"role": "assistant", "content": "ho", "weight": 0}),
    "equal answers": pair(rejected="24 "),
    "empty chosen": pair(chosen=""),
    "missing rejected": after("preferences", {"prompt": "Two?", "chosen": "yes"}),
    "null prompt": pair(prompt=None),
    "chosen of no messages": pair(chosen=[], rejected=[]),
    "no prompt": jsonl({"chosen": "yes", "rejected": "no"}),
    "pairs of the user": pairs_of_chats(said("Two?", "2", "a"), said("Two?", "2", "b")),
    "pairs that differ early": pairs_of_chats(said("Two?", "yes"), said("Three?", "no")),
    "pairs of several replies": pairs_of_chats(
        said("Two?", "2", "Three?", "3"), said("Two?", "two", "Three?", "3")
    ),
    "prompt of another": pair(
        prompt="Three?", chosen=said("Two?", "y"), rejected=said("Two?", "n")
    ),
    "empty text": after("text", {"text": " "}),
    "text that is a number": after("text", {"text": 12}),
    "text among dialogues": after("messages", {"text": "Once upon a time."}),
    "strings among dialogues": after("messages", "Once upon a time."),
    "numbers": jsonl(1, 2, 3),
    "two formats": jsonl(*records("alpaca"), *records("sharegpt")),
    "two formats of chats": jsonl(
        {"messages": said("a", "b")}, {"conversations": shared("a", "b")}
    ),
    "a record of another format": (
        {"a.jsonl": after("alpaca", RECORDS["messages"](12))},
        {"format": "alpaca"},
    ),
    "formats at once": jsonl({"prompt": "Two?", "completion": "2", "messages": said("Two?", "2")}),
    "judged one by one": jsonl({"prompt": "Two?", "completion": "2", "label": False}),
    "no known format": jsonl({"input": "What is two and two?", "target": "It is four."}),
    "a tree each": jsonl(
        {"title": "t", "mapping": {"a": {"message": {"author": {"role": "user"}, "content": "hi"}}}}
    ),
    "a message each": jsonl(*said("hi", "ho")),
    "token ids": jsonl(*({"input_ids": [1, 2, k]} for k in range(12))),
    "messages as Python prints them": ({"a.csv": f'messages\n"{said("hi", "ho")}"\n'}, {}),
    "speakers unsaid": jsonl({"dialog": ["hi", "ho"]}),
    "another format than asked": ({"a.jsonl": after("messages")}, {"format": "alpaca"}),
    "unknown format": ({"a.jsonl": after("messages")}, {"format": "sharegtp"}),
    "format by another name": ({"a.jsonl": after("messages")}, {"format": "ChatML"}),
    "preferences and dialogues": (
        {"a.jsonl": after("messages"), "b.jsonl": after("preferences")},
        {},
    ),
    "broken line": after("messages") + "{\n",
    "broken by depth": after("messages") + "[" * 99_999 + "\n",
    "split with a slip": jsonl(
        *(record | {"split": "train"} for record in records("alpaca")),
        *(RECORDS["alpaca"](12) | {"split": side} for side in ("test", "tset")),
    ),
    "split unsaid": jsonl(
        *(record | {"split": "train"} for record in records("alpaca")), *records("alpaca", 1)
    ),
    "none left by skip": (
        {"a.jsonl": jsonl({"messages": said("hi")}, {"messages": said("ho")})},
        {"on_bad_record": "skip"},
    ),
    "two records": jsonl(*records("alpaca", 2)),
    "one record thrice": jsonl(*records("alpaca", 1) * 3),
    "chosen either way": jsonl(
        *[{"prompt": "Two?", "chosen": "yes", "rejected": "no"}] * 2,
        {"prompt": "Two?", "chosen": "no", "rejected": "yes"},
    ),
    "test takes all": ({"a.jsonl": after("alpaca"), "test.jsonl": after("messages")}, {}),
    "no test in the test file": (
        {
            "a.jsonl": after("alpaca"),
            "test.jsonl": jsonl(*(record | {"split": "train"} for record in records("alpaca"))),
        },
        {},
    ),
    "test chosen either way": (
        {
            "a.jsonl": after("preferences"),
            "test.jsonl": jsonl(
                {"prompt": "Two?", "chosen": "yes", "rejected": "no"},
                {"prompt": "Two?", "chosen": "no", "rejected": "yes"},
            ),
        },
        {},
    ),
    "chosen with a preamble": jsonl(
        {"chosen": "Once.\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"}
    ),
    "labels, not dialogues": ({"a.csv": csv_rows(*messages(9), header="label,message")}, {}),
    "empty file": "",
    "no header": ({"a.csv": "What is 2 and 2?,4\nWhat is 3?,3\n"}, {}),
    "plain text": ({"a.txt": "User: hi\nAssistant: ho\n"}, {}),
    "a PDF by another name": ({"a.jsonl": b"%PDF-1.4 nothing"}, {}),
    "a file twice": ({"a.jsonl": after("alpaca")}, {"test_sources": ["a.jsonl"]}),
    "unknown skip": ({"a.jsonl": after("alpaca")}, {"on_bad_record": "ignore"}),
    "unknown encoding": ({"a.jsonl": after("alpaca")}, {"encoding": "utf-9"}),
}
USAGE = {
    "unknown format",
    "format by another name",
    "a file twice",
    "unknown skip",
    "unknown encoding",
}
REFUSALS = """
empty reply | a.jsonl, line 13: the field 'output' is empty; expected the words of the assistant; fill it in, or remove it, or leave such records out with --on-bad-record skip
empty instruction | a.jsonl, line 13: the field 'instruction' is empty; expected the words of the user; fill it in, or remove it, or leave such records out with --on-bad-record skip
missing output | a.jsonl, line 13: the field 'output' is missing or null; expected instruction, input, output; mend or remove it, or leave such records out with --on-bad-record skip
null output | a.jsonl, line 13: the field 'output' is missing or null; expected instruction, input, output; mend or remove it, or leave such records out with --on-bad-record skip
output that is a number | a.jsonl, line 13: the field 'output' is a number; expected a string; write it as a string, or remove it, or leave such records out with --on-bad-record skip
output that is a list | a.jsonl, line 13: the field 'output' is a list; expected a string; write it as a string, or remove it, or leave such records out with --on-bad-record skip
output that is true | a.jsonl, line 13: the field 'output' is true or false; expected a string; write it as a string, or remove it, or leave such records out with --on-bad-record skip
several of them | a.jsonl, line 13: the field 'output' is empty; expected the words of the assistant; fill it in, or remove it (3 of 15 records cannot be used), or leave such records out with --on-bad-record skip
half a surrogate | a.jsonl, line 13, the field 'output': half of a surrogate pair (\\ud800) at character 0, which no text can hold; mend or remove it, or leave such records out with --on-bad-record skip
NUL | a.jsonl, line 13, the field 'output': a NUL at character 1; expected text; mend or remove it, or leave such records out with --on-bad-record skip
history of another form | a.jsonl, line 13: a pair in the field 'history' is a string; expected a list of a question and a reply; mend or remove it, or leave such records out with --on-bad-record skip
history that is a number | a.jsonl, line 13: a pair in the field 'history' is a number; expected a list of a question and a reply; mend or remove it, or leave such records out with --on-bad-record skip
history without a reply | a.jsonl, line 13: a pair in the field 'history' is a list of 1; expected a list of a question and a reply; mend or remove it, or leave such records out with --on-bad-record skip
missing completion | a.jsonl, line 13: the field 'completion' is missing or null; expected prompt, completion; mend or remove it, or leave such records out with --on-bad-record skip
completion of the user | a.jsonl, line 13: message 1 of the field 'completion' is of the user, as the one before it; expected user and assistant in turns; join the two, or remove it, or leave such records out with --on-bad-record skip
answers in a list | a.jsonl, line 1: the field 'answer' is missing or null; expected question, answer; mend or remove it
no reply | a.jsonl, line 13: a question, but no reply; expected both; add it, or remove it, or leave such records out with --on-bad-record skip
no messages | a.jsonl, line 13: no question and no reply; expected both; add it, or remove it, or leave such records out with --on-bad-record skip
null messages | a.jsonl, line 13: the field 'messages' is missing or null; expected messages with role and content; mend or remove it, or leave such records out with --on-bad-record skip
empty message of the assistant | a.jsonl, line 13: message 2 is empty; expected the words of the assistant; fill it in, or remove it, or leave such records out with --on-bad-record skip
null content | a.jsonl, line 13: message 2 is empty; expected the words of the assistant; fill it in, or remove it, or leave such records out with --on-bad-record skip
empty message of the user | a.jsonl, line 13: message 3 is empty; expected the words of the user; fill it in, or remove it, or leave such records out with --on-bad-record skip
assistant first | a.jsonl, line 13: message 1 is of the assistant, but nobody asked; expected the user first; begin with the question, or remove it, or leave such records out with --on-bad-record skip
two of the user | a.jsonl, line 13: message 2 is of the user, as the one before it; expected user and assistant in turns; join the two, or remove it, or leave such records out with --on-bad-record skip
two of the assistant | a.jsonl, line 13: message 3 is of the assistant, as the one before it; expected user and assistant in turns; join the two, or remove it, or leave such records out with --on-bad-record skip
system in between | a.jsonl, line 13: message 3 is of the system, which may only come first; mend or remove it, or leave such records out with --on-bad-record skip
system twice | a.jsonl, line 13: message 2 is of the system, which may only come first; mend or remove it, or leave such records out with --on-bad-record skip
only system | a.jsonl, line 13: no question and no reply; expected both; add it, or remove it, or leave such records out with --on-bad-record skip
unknown role | a.jsonl, line 13: message 1 has the role narrator; expected system, user, assistant (or developer, human, prompter, gpt, chatgpt, bot, chatbot, model, ai); mend or remove it, or leave such records out with --on-bad-record skip
empty role | a.jsonl, line 13: message 1 has no role; expected system, user, assistant (or developer, human, prompter, gpt, chatgpt, bot, chatbot, model, ai); mend or remove it, or leave such records out with --on-bad-record skip
role that is a number | a.jsonl, line 13: message 1 has the role 1; expected system, user, assistant (or developer, human, prompter, gpt, chatgpt, bot, chatbot, model, ai); mend or remove it, or leave such records out with --on-bad-record skip
a tool speaks | a.jsonl, line 13: message 3 has the role tool; calling tools is not taught here, only messages of system, user and assistant; remove it, or leave such records out with --on-bad-record skip
a tool is called | a.jsonl, line 13: message 2 calls a tool; calling tools is not taught here, only messages of system, user and assistant; remove it, or leave such records out with --on-bad-record skip
no role | a.jsonl, line 13: message 1 has only content; expected 'role' and 'content', or 'from' and 'value'; mend or remove it, or leave such records out with --on-bad-record skip
message that is a string | a.jsonl, line 13: message 1 is a string; expected an object with 'role' and 'content'; mend or remove it, or leave such records out with --on-bad-record skip
messages that are a string | a.jsonl, line 13: the field 'messages' is a string; expected a list of messages; mend or remove it, or leave such records out with --on-bad-record skip
content that is an object | a.jsonl, line 13: message 1 is an object; expected a string; write it as a string, or remove it, or leave such records out with --on-bad-record skip
image | a.jsonl, line 13: message 1 has a part of the type image_url; only parts of the type 'text' can be learnt; remove it, or leave such records out with --on-bad-record skip
part that is a string | a.jsonl, line 13: message 1 is a list; expected a string; write it as a string, or remove it, or leave such records out with --on-bad-record skip
weight of 0 | a.jsonl, line 13: message 2 has the weight 0, but all replies of a dialogue are learnt; end the dialogue before it, or remove it, or leave such records out with --on-bad-record skip
equal answers | a.jsonl, line 13: chosen and rejected are equal; expected two different replies; mend or remove it, or leave such records out with --on-bad-record skip
empty chosen | a.jsonl, line 13: the field 'chosen' is empty; expected the words of the assistant; fill it in, or remove it, or leave such records out with --on-bad-record skip
missing rejected | a.jsonl, line 13: the field 'rejected' is missing or null; expected prompt, chosen, rejected; mend or remove it, or leave such records out with --on-bad-record skip
null prompt | a.jsonl, line 13: no prompt, and the field 'chosen' is no dialogue; expected a prompt, or chosen and rejected as lists of messages with a common beginning; add it, or remove it, or leave such records out with --on-bad-record skip
chosen of no messages | a.jsonl, line 13: the field 'chosen' is empty; mend or remove it, or leave such records out with --on-bad-record skip
no prompt | a.jsonl, line 1: no prompt, and the field 'chosen' is no dialogue; expected a prompt, or chosen and rejected as lists of messages with a common beginning; add it, or remove it
pairs of the user | a.jsonl, line 2: message 3 of the field 'chosen' is of the user; expected a reply of the assistant; mend or remove it, or leave such records out with --on-bad-record skip
pairs that differ early | a.jsonl, line 2: chosen and rejected differ before their last message (from then on, chosen has 2 and rejected 2); expected one reply each; mend or remove it, or leave such records out with --on-bad-record skip
pairs of several replies | a.jsonl, line 2: chosen and rejected differ before their last message (from then on, chosen has 3 and rejected 3); expected one reply each; mend or remove it, or leave such records out with --on-bad-record skip
prompt of another | a.jsonl, line 13: the prompt is not what chosen and rejected begin with; mend or remove it, or leave such records out with --on-bad-record skip
empty text | a.jsonl, line 13: the text is empty; mend or remove it, or leave such records out with --on-bad-record skip
text that is a number | a.jsonl, line 13: the field 'text' is a number; expected a string; write it as a string, or remove it, or leave such records out with --on-bad-record skip
text among dialogues | a.jsonl, line 13: a record of the format text, but the file is read as messages; divide the file, one format in each, or leave such records out with --on-bad-record skip
strings among dialogues | a.jsonl, line 13: a record of the format text, but the file is read as messages; divide the file, one format in each, or leave such records out with --on-bad-record skip
numbers | a.jsonl: records of no known format (values (int)); expected one of: alpaca (instruction, input, output), messages (messages with role and content), sharegpt (conversations with from and value), prompt-completion (prompt, completion), question-answer (question, answer), text (text), preferences (prompt, chosen, rejected); rename the fields
two formats | a.jsonl: several formats in one file, alpaca (first: line 1) and sharegpt (first: line 13); expected one; divide the file, or choose, as with --format alpaca
two formats of chats | a.jsonl: several formats in one file, messages (first: line 1) and sharegpt (first: line 2); expected one; divide the file, or choose, as with --format messages
a record of another format | a.jsonl, line 13: a record of the format messages, but the file is read as alpaca; divide the file, one format in each, or leave such records out with --on-bad-record skip
formats at once | a.jsonl: its records are prompt-completion (prompt, completion) and chats (messages) at once; choose, as with --format prompt-completion or --format messages
judged one by one | a.jsonl: prompt, completion and a label of true or false, as of replies that are judged one by one; expected replies to learn; keep the good ones and remove the label, or take all with --format prompt-completion
no known format | a.jsonl: records of no known format (input (text), target (text)); expected one of: alpaca (instruction, input, output), messages (messages with role and content), sharegpt (conversations with from and value), prompt-completion (prompt, completion), question-answer (question, answer), text (text), preferences (prompt, chosen, rejected); rename the fields
a tree each | a.jsonl: each record is a tree of messages (mapping), as ChatGPT exports them; expected a dialogue in each, such as {"messages": [{"role": "user", "content": "…"}, …]}; write those from the root to current_node into such a list
a message each | a.jsonl: each record is one message (role (text), content (text)); expected a dialogue in each, such as {"messages": [{"role": "user", "content": "…"}, …]}; put its messages into one list
token ids | a.jsonl: records of no known format (input_ids[] (int)); expected one of: alpaca (instruction, input, output), messages (messages with role and content), sharegpt (conversations with from and value), prompt-completion (prompt, completion), question-answer (question, answer), text (text), preferences (prompt, chosen, rejected); rename the fields
messages as Python prints them | a.csv: the field 'messages' holds no messages in JSON, perhaps lists as Python prints them; expected [{"role": "user", "content": "…"}, …]; write them with json.dumps
speakers unsaid | a.jsonl: records of no known format (dialog[] (text)); expected one of: alpaca (instruction, input, output), messages (messages with role and content), sharegpt (conversations with from and value), prompt-completion (prompt, completion), question-answer (question, answer), text (text), preferences (prompt, chosen, rejected); rename the fields
another format than asked | a.jsonl, line 1: a record of the format messages, but the file is read as alpaca; divide the file, one format in each (12 of 12 records cannot be used)
unknown format | --format sharegtp: no such format; did you mean 'sharegpt'?
format by another name | --format ChatML: no such format; did you mean 'messages'?
preferences and dialogues | b.jsonl: preferences, but a.jsonl: messages; preferences are learnt by themselves; give only them, or none
broken line | a.jsonl, line 13: expected JSON, but Expecting property name enclosed in double quotes at character 1; mend or remove it, or leave such records out with --on-bad-record skip
broken by depth | a.jsonl, line 13: expected JSON, but it is nested too deeply; mend or remove it, or leave such records out with --on-bad-record skip
split with a slip | a.jsonl, line 14: the field 'split' is tset; expected train, val or test, as in others; fill it in, or remove it, or leave such records out with --on-bad-record skip
split unsaid | a.jsonl, line 13: the field 'split' is missing; expected train, val or test, as in others; fill it in, or remove it, or leave such records out with --on-bad-record skip
none left by skip | a.jsonl: none of 2 records can be used (first: a.jsonl, line 1: a question, but no reply; expected both; add it, or remove it); mend them, or choose another format
two records | a.jsonl: 2 records of 2 left to learn from; expected 3 at least, one for each of train, test, val; give more
one record thrice | a.jsonl: 1 record of 3 left to learn from (left out: 2 repeated records (the first stays)); expected 3 at least, one for each of train, test, val; give more
chosen either way | a.jsonl: no record of 3 left to learn from (left out: 3 pairs that were chosen either way (all of them)); expected 3 at least, one for each of train, test, val; give more
test takes all | a.jsonl test.jsonl: no record of 24 left to learn from (left out: 12 training records that are among those held out); expected 2 at least, one for each of train, val; give more
no test in the test file | test.jsonl: to test on, but the field 'split' of no record is test; expected some; mend it, or name another file
test chosen either way | a.jsonl test.jsonl: no record of 2 is left to test on (left out: 2 pairs that were chosen either way (all of them)); give others
chosen with a preamble | a.jsonl, line 1: no prompt, and the field 'chosen' is no dialogue; expected a prompt, or chosen and rejected as lists of messages with a common beginning; add it, or remove it
labels, not dialogues | a.csv: records of no known format (label (labels), message (text)); expected one of: alpaca (instruction, input, output), messages (messages with role and content), sharegpt (conversations with from and value), prompt-completion (prompt, completion), question-answer (question, answer), text (text), preferences (prompt, chosen, rejected); rename the fields
empty file | a.jsonl: no records; expected some, such as prompt and completion
no header | a.csv: the first row should name the columns, but found '4'; put a header above it, such as 'prompt,completion'
plain text | a.txt: expected a file of records, ending in .jsonl, .ndjson, .json, .csv, .tsv, .parquet, or one of these and .gz, .bz2, .xz, .zst; if it is a table, rename it to end in .csv or .tsv, with a header such as 'prompt,completion' above it
a PDF by another name | a.jsonl: a PDF, not text; convert it, as with pdftotext, and give the text
a file twice | a.jsonl: to train and to test on; name a file of its own for one
unknown skip | on_bad_record = ignore: expected stop or skip
unknown encoding | unknown encoding 'utf-9'; expected a name such as utf-8, utf-16 or latin-1
"""
EXPECTED = dict(line.split(" | ", 1) for line in REFUSALS.strip().split("\n"))


def refusal(name: str, folder: Path) -> str:
    """Write the files of a case, and return the line with which they are refused."""
    case = CASES[name]
    files, options = ({"a.jsonl": case}, {}) if isinstance(case, str) else case
    for file, content in files.items():
        Path(file).write_bytes(content if isinstance(content, bytes) else content.encode())
    test = [file for file in files if file == "test.jsonl"]
    sources = [file for file in files if file not in test]
    with pytest.raises(GroundupError) as caught:
        prepare_dialogues(sources, "data", **({"test_sources": test} | options))
    assert type(caught.value) is (UsageError if name in USAGE else DataError)
    assert not (folder / "data").exists()
    return str(caught.value)


def test_every_case_has_its_line() -> None:
    assert list(EXPECTED) == list(CASES)
    assert len(EXPECTED) > 60


@pytest.mark.parametrize("name", CASES)
def test_bad_records(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal(name, tmp_path) == EXPECTED[name]
