"""JSON of every shape is read by what stands there, whatever its ending."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from groundup.data.reading_log import ReadingLog
from tests.data.reading import message, names, read

RECORDS = [{"text": "one"}, {"text": "two"}]
LINES = "\n".join(map(json.dumps, RECORDS))


@pytest.mark.parametrize("chunk_size", [1, 7, 1 << 20])
@pytest.mark.parametrize("ending", [".json", ".jsonl", ".ndjson"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (LINES, ("JSON Lines", "")),
        (f"\ufeff\n \n{LINES}\n\n", ("JSON Lines", "")),
        (LINES.replace("\n", "\r\n"), ("JSON Lines", "")),
        (json.dumps(RECORDS), ("", "one JSON list")),
        (json.dumps(RECORDS, indent=2), ("", "one JSON list")),
        ("\n" + json.dumps(RECORDS).replace("}, ", "},\n"), ("", "one JSON list")),
    ],
    ids=["lines", "blank lines", "CRLF", "list", "indented list", "an element a line"],
)
def test_lines_and_lists(
    tmp_path: Path, content: str, told: tuple[str, str], ending: str, chunk_size: int
) -> None:
    path = tmp_path / f"a{ending}"
    path.write_text(content, newline="")
    log = ReadingLog()
    assert read(path, log=log, chunk_size=chunk_size) == ["one", "two"]
    expected = told[0] if ending == ".json" else told[1]
    assert len(log.lines()) == 1 + bool(expected)
    assert expected in log.lines()[0]


def test_a_line_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(f"\n{LINES}\nnonsense")
    assert names(path, on_bad_record="skip") == [f"{path}, line 2", f"{path}, line 3"]
    assert message(path).startswith(f"{path}, line 4: expected JSON")


@pytest.mark.parametrize(
    "content",
    [
        {"data": RECORDS},
        {"version": "v2.0", "name": "Data", "data": RECORDS},
        {"data": RECORDS, "empty": [], "tags": ["a"]},
        {"texts": ["one", "two"]},
    ],
)
def test_records_in_an_object(tmp_path: Path, content: object) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    log = ReadingLog()
    assert read(path, log=log) == ["one", "two"]
    assert "a.json: the records are the list '" in log.lines()[0]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"train": RECORDS, "test": RECORDS}, "train[].text (text), test[].text (text)"),
        ({"source": "wiki", "lines": ["one two", "three"]}, "lines[] (text)"),
        ({"messages": [{"role": "user", "content": "one"}]}, "its records are chats"),
        ({"a": {"b": 1}}, "a.b (int)"),
    ],
)
def test_objects_that_are_neither(tmp_path: Path, content: object, found: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert found in message(tmp_path)


def test_one_record(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"text": "one", "tags": [{"name": "x"}]}))
    (tmp_path / "b.json").write_text(json.dumps({"body": "two words", "tags": [{"name": "x"}]}))
    (tmp_path / "c.json").write_text('"three"')
    assert read(tmp_path) == ["one", "two words", "three"]


def test_the_first_of_many_lists_is_a_record(tmp_path: Path) -> None:
    chat = json.dumps([{"role": "user", "content": "Hello."}])
    (tmp_path / "a.jsonl").write_text(f"{chat}\n{chat}\n")
    assert "its records are chats" in message(tmp_path)
