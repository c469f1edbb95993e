"""What is passed over among records, and what stops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from groundup.base.errors import UsageError
from groundup.data.reading_log import ReadingLog
from tests.data.reading import message, read

GOOD = {"text": "fine"}
WITHOUT = [None, {}, {"text": None}, {"text": ""}, {"text": " \n"}, {"id": 3}]
BAD = [12, True, ["a"], {"text": 12}, {"text": ["x"]}, {"text": {"a": "b"}}, {"text": False}]


def write(path: Path, records: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


@pytest.mark.parametrize("record", WITHOUT, ids=json.dumps)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_without_a_text_is_skipped_counted_and_told(
    tmp_path: Path, record: Any, place: int
) -> None:
    records = [GOOD, GOOD]
    records.insert(place, record)
    log = ReadingLog()
    assert read(write(tmp_path / "a.jsonl", records), log=log) == ["fine", "fine"]
    assert log.skipped == {"records without a text": 1}
    assert f"a.jsonl, line {place + 1})" in log.lines()[-1]


@pytest.mark.parametrize("record", BAD, ids=json.dumps)
def test_something_else_for_a_text_stops_or_is_skipped(tmp_path: Path, record: Any) -> None:
    path = write(tmp_path / "a.jsonl", [GOOD, record])
    error = message(path)
    assert error.startswith(f"{path}, line 2: expected a ")
    assert error.endswith("--on-bad-record skip")
    log = ReadingLog()
    assert read(path, log=log, on_bad_record="skip") == ["fine"]
    assert log.skipped == {"records that cannot be used": 1}


@pytest.mark.parametrize(
    "line", ['{"text": "x"', "nonsense", "[" * 9999, '"a\\u0000"', '"\\ud800"']
)
def test_a_broken_line_stops_or_is_skipped(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "fine"}}\n{line}\n{{"text": "too"}}\n')
    assert message(path).startswith(f"{path}, line 2: ")
    assert read(path, on_bad_record="skip") == ["fine", "too"]


@pytest.mark.parametrize(("n_texts", "n_without"), [(1, 2), (2, 3), (0, 1), (49, 51)])
def test_more_than_half_without_a_text(tmp_path: Path, n_texts: int, n_without: int) -> None:
    path = write(tmp_path / "a.jsonl", [{"body": "a body"}] * n_texts + [{"id": 1}] * n_without)
    error = message(path, text_field="body")
    if n_texts:
        n = n_texts + n_without
        assert f"only {n_texts} of {n} records have a text in the field 'body'" in error
        assert len(read(path, text_field="body", on_bad_record="skip")) == n_texts
    half = write(tmp_path / "b.jsonl", [{"body": "a body"}, {"id": 1}])
    assert read(half, text_field="body") == ["a body"]


def test_all_broken_is_no_file_of_records(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("once upon a time\nthere was a text\n")
    assert "line 1: expected JSON" in message(path)
    assert "none of 2 records has a text" in message(path, on_bad_record="skip")


def test_another_word_than_stop_or_skip(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [GOOD])
    error = message(path, kind=UsageError, on_bad_record="ignore")
    assert error == "on_bad_record = ignore: expected stop or skip"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("ending", [".jsonl", ".json"])
def test_line_ends_in_a_text(tmp_path: Path, end: str, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    path.write_text(json.dumps({"text": f"one{end}two{end}{end}three"}))
    assert read(path) == ["one\ntwo\n\nthree"]
