"""The field that is the text: what the rule takes, what it refuses, and by which name."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from groundup.base.errors import DataError
from groundup.data.reading_log import ReadingLog
from groundup.data.text_fields import MOST_RECORDS, Survey, called_like_others, choose_field
from tests.data.reading import message, read

Records = list[Any]
N = 30
PROSE = [f"The {animal} number {n} sleeps." for n in range(N // 2) for animal in ("fox", "owl")]


def rows(**fields: Any) -> Records:
    """Return N records; a function of the number makes a value, anything else stands in each."""
    return [{k: v(n) if callable(v) else v for k, v in fields.items()} for n in range(N)]


def prose(n: int) -> str:
    return PROSE[n]


def turns(speaker: str, said: str, *speakers: str) -> Any:
    return lambda n: [{speaker: who, said: prose(n)} for who in speakers]


def choose(records: Records, text_field: str | None = None) -> str:
    survey = Survey()
    survey.add_until(((f"record {n}", record) for n, record in enumerate(records)), "text")
    return choose_field(survey, "file", text_field)


def refusal(records: Records, text_field: str | None = None) -> str:
    with pytest.raises(DataError) as caught:
        choose(records, text_field)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("expected", "records"),
    [
        ("text", rows(title=prose, body=prose, text=prose)),
        ("text", [*rows(body=prose), {"text": "x"}]),
        ("text", [{}, None, {"text": None}, {"text": " "}, *rows(id=str, text=prose)]),
        ("text", [{"text": 12}, *rows(id=str, text=prose)]),
        ("text", rows(text=prose, messages=turns("role", "content", "user"))),
        ("text", rows(text=prose, input_ids=[1, 2])),
        ("text", ["plain", "strings"]),
        ("body", [{"n": 3, "body": "two"}, {"body": "x", "title": "y"}]),
        ("dna", rows(dna=lambda n: PROSE[n][4] + "ACGT" * 400, n=int)),
        ("body", rows(body="a-word-" * 200 + " and more")),
        ("body", rows(image="iVBOR/w0+KGg=" * 90, body=prose)),
        ("body", rows(body="the same short text each time.")),
        ("content", [{"meta": "x"}, *rows(meta="x", content=prose)]),
        ("content", rows(content=prose, id=lambda n: f"doc-{n:05}")),
        ("content", rows(content=prose, key=lambda n: str(uuid.UUID(int=n)))),
        ("content", rows(content=prose, sum=lambda n: f"{n * 7919**9:x}e1")),
        ("content", rows(content=prose, seen="2024-01-05T10:00:00Z", n=lambda n: f"{n / 3:.3f}")),
        ("content", rows(content=prose, at=lambda n: f"https://a.org/{'x' * n}/")),
        ("content", rows(content=prose, file=lambda n: f"src/part{n}.py")),
        ("content", rows(content=prose, kind=lambda n: ["even", "odd"][n % 2])),
        ("content", rows(content=prose, sourceUrl=prose)),
        ("content", rows(content=prose, extra=lambda n: json.dumps({"n": n}))),
        ("content", rows(content=prose, meta={"title": "x", "url": "https://a.org"})),
        ("content", rows(content=prose, tags=["a", "b"])),
        ("content", rows(content=prose, empty="", none=None)),
    ],
)
def test_takes(expected: str, records: Records) -> None:
    assert choose(records) == expected


@pytest.mark.parametrize(
    ("reason", "records"),
    [
        ("found title (text), body (text);", rows(title=prose, body=prose)),
        ("as with --text-field body", rows(title="x", headline=prose, body=lambda n: prose(n) * 9)),
        ("found id (ids);", rows(id=lambda n: f"doc-{n:05}")),
        ("found url (links);", rows(url=lambda n: f"https://example.org/{n}")),
        ("found n (numbers);", rows(n=lambda n: f"{n},5")),
        ("found split (labels), n (int)", rows(split="train", n=1)),
        ("found label (labels);", rows(label=prose)),
        (
            "texts cut into words (lang (labels), tokens[] (text))",
            rows(lang="en", tokens=lambda n: PROSE[n : n + 2]),
        ),
        ("found source (labels), lines[] (text)", rows(source="wiki", lines=lambda n: [prose(n)])),
        ("--text-field data.text", rows(split="train", data=lambda n: {"text": prose(n)})),
        ("--text-field data.text", rows(title=prose, data=lambda n: {"text": prose(n) * 9})),
        ("paragraphs[].context (text)", rows(title=prose, paragraphs=[{"context": "w " * 50}])),
        ("title (text), lines[] (text)", rows(title=prose, lines=PROSE)),
        ("found title (text), text[] (labels)", rows(title=prose, text=["a b", "c"])),
        ("found title (text), text (int)", rows(title=prose, text=12)),
        ("text.content (labels)", rows(title=prose, text={"content": "a b"})),
        ("found values (bool)", [True, False]),
        ("found no fields", [{}, None]),
        ("found text (blank);", [{"text": ""}, {"text": " "}]),
        (
            "which field is the text",
            rows(title=prose, log=lambda n: {f"{n}-{m}": {"say": prose(n)} for m in (1, 2)}),
        ),
        ("its records are chats", rows(id=str, messages=turns("role", "content", "user"))),
        ("its records are chats", rows(prompt=prose, messages=turns("role", "content", "user"))),
        (
            "its records are chats",
            rows(prompt=prose, messages='[{"role": "user", "content": "Hi"}]'),
        ),
        ("found image (ids), label (int)", rows(image="iVBOR/w0+KGg=" * 90 + "==", label=int)),
        ("found image (ids), label (int)", rows(image="iVBORw0K=", label=int)),
        ("its records are chats", rows(id=str, conversations=turns("from", "value", "human"))),
        ("its records are chats", rows(x={"log": [{"role": "user", "content": "Hello you."}]})),
        ("its records are chats", rows(msgs=[{"role": "user", "content": [{"text": "Hi"}]}])),
        ("its records are chats", [[{"role": "user", "content": prose(n)}] for n in range(N)]),
        ("its records are chats", rows(role="user", content=prose)),
        ("its records are chats", rows(dialog=["Hello you.", "And you."])),
        ("(Alpaca)", rows(instruction=prose, input="", output=prose)),
        ("are prompts with completions", rows(prompt=prose, completion=prose)),
        ("are questions with answers", rows(question=prose, answer=lambda n: str(n))),
        ("are preferences", rows(prompt=prose, chosen=prose, rejected=prose)),
        (
            "are preferences",
            rows(chosen=turns("role", "content", "user"), rejected=[{"role": "x"}]),
        ),
        ("are tokens", rows(input_ids=[1, 2], attention_mask=[1, 1])),
        ("are tokens", rows(id=lambda n: f"id-{n}", tokens=[1, 2, 3])),
        ("are tokens", [[1, 2], [3]]),
        ("are tokens", [1, 2, 3]),
    ],
)
def test_refuses(reason: str, records: Records) -> None:
    error = refusal(records)
    assert error.startswith("file: ")
    assert reason in error
    assert "text" in error.split("; ")[-1]


@pytest.mark.parametrize("name", ["data.text", "a.b"])
def test_dots_lead_into_objects(tmp_path: Path, name: str) -> None:
    outer, inner = name.split(".")
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({outer: {inner: "nested"}}) + "\n" + json.dumps({name: "literal"}))
    assert read(path, text_field=name) == ["nested", "literal"]


def test_named_field_that_is_nowhere() -> None:
    records = rows(title=prose, n=1)
    assert choose(records, "title") == "title"
    assert "no text in the field 'body' in any of 30 records; found title" in refusal(
        records, "body"
    )
    assert "found title (text), n (int)" in refusal(records, "n")


def test_names_that_are_many_or_strange_stay_short() -> None:
    assert "and" not in refusal([{f"key {n}": f"a b c d {n}" for n in range(5000)}], "nobody")[900:]
    assert "\x1b" not in refusal([{"\x1b[2J": "one of two"}, {"x": "y"}], "nobody")


@pytest.mark.parametrize("name", ["id", "doc_id", "sourceUrl", "imageURL", "meta.lang", "sha256"])
def test_called_like_others(name: str) -> None:
    assert called_like_others(name)
    assert not called_like_others("body")


class TestWhatIsLookedAt:
    def test_the_first_records_decide(self, tmp_path: Path) -> None:
        early, late = tmp_path / "early.jsonl", tmp_path / "late.jsonl"
        body = '{"body": "the body of a record"}\n'
        early.write_text(body * (MOST_RECORDS - 1) + '{"text": "x"}\n')
        late.write_text(body * MOST_RECORDS + '{"text": "x", "body": "y"}\n')
        assert "only 1 of 10,000 records have a text in the field 'text'" in message(early)
        assert len(read(late)) == MOST_RECORDS + 1

    def test_records_are_held_up_to_so_many_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("groundup.data.text_fields.LARGEST_SAMPLE", 1000)
        survey = Survey()
        records = iter([("", {"body": "x" * 99})] * 100)
        assert len(survey.add_until(records, "text")) == 7
        assert len(list(records)) == 93
        nested = iter([("", {"a": [[1, 2, [3]] * 10]})] * 100)
        assert len(Survey().add_until(nested, "text")) < 10

    def test_no_more_than_it_takes(self) -> None:
        records = iter([("", {"text": "x"})] * 9)
        Survey().add_until(records, "text")
        assert len(list(records)) == 8


class TestTold:
    def told(self, folder: Path, **options: Any) -> list[str]:
        log = ReadingLog()
        read(folder, log=log, **options)
        return [line.replace(f"{folder}/", "") for line in log.lines()]

    def test_the_field_and_its_share(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_text('{"body": "one two"}\n{"body": "three"}\n{}\n')
        assert self.told(tmp_path) == [
            "a.jsonl: the text is the field 'body', in 2 of 3 records",
            "skipped records without a text: 1 (a.jsonl, line 3)",
        ]

    def test_files_that_agree_share_a_line(self, tmp_path: Path) -> None:
        for name in "abcd":
            (tmp_path / f"{name}.jsonl").write_text('{"text": "one"}\n{"text": null}\n')
        (tmp_path / "e.json").write_text('[{"body": "one two"}]')
        assert self.told(tmp_path)[:2] == [
            "a.jsonl, b.jsonl, c.jsonl, … (4 files): the text is the field 'text', "
            "in 4 of 8 records",
            "e.json: the text is the field 'body', in 1 of 1 records",
        ]

    def test_strings_have_no_field(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_text('"one"\n"two"\n')
        assert self.told(tmp_path) == []
