"""Dialogues, texts and preferences from files to the folder that keeps them."""

from __future__ import annotations

import csv
import gzip
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from groundup.data.dialogue import Dialogue
from groundup.data.dialogue_folder import open_dialogues
from groundup.data.dialogue_formats import plainly_named
from groundup.data.dialogues import n_scattered, prepare_dialogues, split_by_question
from groundup.data.record_sets import RECORD_SETS
from groundup.data.record_sources import named_set
from tests.data.chitchat import chitchat
from tests.data.dialoguing import RECORDS, Record, contents, prepared, records, said, sides
from tests.data.labelling import jsonl

ROWS = records("prompt-completion", 40)
EXPECTED = {f"u:{row['prompt']} a:{row['completion']}" for row in ROWS}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def table(path: Path, delimiter: str = ",") -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["prompt", "completion"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(ROWS)


CHATS = [{"messages": said(row["prompt"], row["completion"])} for row in ROWS]
WRITERS: dict[str, Any] = {
    "a.csv": table,
    "a.tsv": lambda path: table(path, "\t"),
    "a.jsonl": lambda path: path.write_text(jsonl(*ROWS)),
    "a.jsonl.gz": lambda path: path.write_bytes(gzip.compress(jsonl(*CHATS).encode())),
    "a.json": lambda path: path.write_text(json.dumps({"data": CHATS, "version": "one"})),
    "a.parquet": lambda path: pq.write_table(pa.Table.from_pylist(CHATS), path),
    "b.parquet": lambda path: pq.write_table(pa.Table.from_pylist(ROWS), path),
}


def cells(path: Path) -> None:
    rows = [("id", "messages"), *((n, json.dumps(r["messages"])) for n, r in enumerate(CHATS))]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.mark.parametrize("name", [*WRITERS, "cells.csv"])
def test_every_file_gives_the_same_dialogues(name: str, tmp_path: Path) -> None:
    {**WRITERS, "cells.csv": cells}[name](tmp_path / name)
    data = prepare_dialogues([name], "data")
    found = [d for split in ("train", "val", "test") for d in data.dialogues(split)]
    assert {contents(d.messages) for d in found} == EXPECTED
    assert [len(data.dialogues(split)) for split in ("train", "val", "test")] == [32, 4, 4]
    assert data.counts("val") == {"dialogues": 4, "texts": 0, "preferences": 0, "replies": 4}
    assert all(d.where.startswith(f"{name}, ") for d in found)


def test_a_table_of_a_spreadsheet_is_read_by_its_headings() -> None:
    rows = ["Question;Answer ;Department", *(f"Double {n}?;{2 * n};sums" for n in range(20))]
    Path("a.csv").write_bytes("\r\n".join(rows).encode("utf-8-sig"))
    data = prepare_dialogues(["a.csv"], "data")
    assert contents(data.dialogues("train")[0].messages) == "u:Double 0? a:0"
    assert "read as question-answer (question, answer; not used: Department)" in data.notices[1]


def test_of_two_fields_that_differ_in_their_case_none_is_renamed() -> None:
    both = {"question": "Which?", "Question": "Why?", "Answer": "So."}
    assert plainly_named(both) == {"question": "Which?", "Question": "Why?", "answer": "So."}
    assert plainly_named(["a"]) == ["a"]


def test_named_records_are_not_a_folder_of_that_name_but_a_file() -> None:
    Path("tasks").mkdir()
    assert named_set("tasks") is RECORD_SETS["tasks"]
    Path("tasks").rmdir()
    Path("tasks").touch()
    assert named_set("tasks") is None


@pytest.mark.parametrize("name", RECORDS)
def test_every_format_is_kept_and_found_again(name: str, tmp_path: Path) -> None:
    data = prepared(tmp_path, *records(name, 20))
    assert data.format == name
    assert data.notices[0].endswith("in 20 of 20 records")
    kind = {"text": "texts", "preferences": "preferences"}.get(name, "dialogues")
    assert [data.counts(split)[kind] for split in ("train", "val", "test")] == [16, 2, 2]
    written = data.folder / "dialogues.jsonl"
    before = written.stat().st_mtime_ns
    again = prepared(tmp_path, *records(name, 20))
    assert (again.folder, again.manifest) == (data.folder, data.manifest)
    assert written.stat().st_mtime_ns == before
    others = [
        prepared(tmp_path, *records(name, 20), split_seed=2),
        prepared(tmp_path, *records(name, 19)),
        prepared(tmp_path, *records(name, 20), "{", on_bad_record="skip"),
        prepared(tmp_path, *records("alpaca" if name != "alpaca" else "messages", 20)),
    ]
    assert len({data.fingerprint, *(other.fingerprint for other in others)}) == 5


def test_records_stand_where_they_were_read_last(tmp_path: Path) -> None:
    text = jsonl(*records("alpaca", 9))
    for name, before in (("a", ""), ("b", "\n\n")):
        Path(f"{name}.jsonl").write_text(before + text)
        data = prepare_dialogues([f"{name}.jsonl"], "data")
        found = [one.where for split in ("train", "val", "test") for one in data.dialogues(split)]
        assert {f"{name}.jsonl, line {n + 1 + len(before)}" for n in range(9)} == set(found)
    kept = open_dialogues(data.folder)
    assert {one.where[:7] for one in kept.dialogues("train")} == {"a.jsonl"}


def test_what_was_detected_and_left_out_is_told(tmp_path: Path) -> None:
    data = prepared(
        tmp_path,
        *(row | {"id": n} for n, row in enumerate(ROWS)),
        {"prompt": "double  3.", "completion": "6", "id": 40},
        {"prompt": "Double 4.", "completion": ""},
        {"prompt": "Double 5."},
        {"messages": said("a", "b")},
        {"prompt": said("a", "b", "c", "d"), "completion": said("e")},
        format="prompt-completion",
        on_bad_record="skip",
    )
    assert [line.replace(f"{tmp_path}/", "") for line in data.notices] == [
        "a.jsonl: read as prompt-completion (prompt, completion; not used: id, messages), in 42 of "
        "45 records",
        "skipped records with an empty reply: 1 (a.jsonl, line 42)",
        "skipped records without 'completion': 1 (a.jsonl, line 43)",
        "skipped records of another format: 1 (a.jsonl, line 44)",
        "skipped last messages of the user that no reply follows (the rest stays): 1 (a.jsonl, "
        "line 45)",
        "skipped repeated records (the first stays): 1 (a.jsonl, line 41)",
    ]
    assert data.manifest["records"] == 45
    assert [entry["count"] for entry in data.manifest["left_out"].values()] == [1] * 5
    assert sum(data.counts(split)["replies"] for split in ("train", "val", "test")) == 42


class TestRepeated:
    def test_by_the_whole_dialogue(self, tmp_path: Path) -> None:
        given = [said("a", "b"), said("A ", "b"), said("a", "b", "c", "d"), said("a", "c")]
        given += [[{"role": "system", "content": "s"}, *said("a", "b")], said("e", "f")]
        data = prepared(tmp_path, *({"messages": messages} for messages in given))
        assert len(sides(data)) <= sum(
            data.counts(s)["dialogues"] for s in ("train", "val", "test")
        )
        assert data.manifest["left_out"]["repeated records (the first stays)"]["count"] == 1

    def test_pairs_that_were_chosen_either_way_go(self, tmp_path: Path) -> None:
        either = [
            ("a", "x", "y"),
            ("A", "Y", "x"),
            ("b", "x", "y"),
            ("b", "x", "y"),
            ("a", "x", "z"),
        ]
        either += [("c", "X", "x"), ("c", "x", "X")]  # as where upper case is asked for
        rows = [{"prompt": p, "chosen": c, "rejected": r} for p, c, r in either]
        data = prepared(tmp_path, *records("preferences"), *rows)
        left = {what: entry["count"] for what, entry in data.manifest["left_out"].items()}
        assert left == {
            "pairs that were chosen either way (all of them)": 4,
            "repeated records (the first stays)": 1,
        }


class TestSplits:
    def test_a_record_keeps_its_side_whatever_the_order(self, tmp_path: Path) -> None:
        mixed = random.Random(0).sample(ROWS, len(ROWS))
        assert sides(prepared(tmp_path, *mixed)) == sides(prepared(tmp_path, *ROWS))

    def test_replies_to_the_same_question_are_on_one_side(self, tmp_path: Path) -> None:
        rows = [{"prompt": f"p{n % 50}", "completion": str(n)} for n in range(200)]
        data = prepared(tmp_path, *rows)
        found = {s: {d.messages[0]["content"] for d in data.dialogues(s)} for s in ("train", "val")}
        assert not found["train"] & found["val"]
        assert [data.counts(s)["dialogues"] for s in ("train", "val", "test")] == [160, 20, 20]

    def test_a_question_of_more_than_a_tenth_is_divided(self) -> None:
        entries = [
            Dialogue(tuple(said("Write." if n % 2 else f"Write {n}.", str(n))), "a")
            for n in range(100)
        ]
        split = split_by_question(entries, 1, ["test", "val"])
        assert [split.count(s) for s in ("train", "val", "test")] == [80, 10, 10]
        assert {side for n, side in enumerate(split) if n % 2} == {"train", "val", "test"}
        assert n_scattered(entries, split) == 50

    def test_that_a_question_is_divided_is_told(self, tmp_path: Path) -> None:
        rows = [{"messages": said("Write.", str(n))} for n in range(20)]
        assert prepared(tmp_path, *rows).split_rule.endswith(
            "(seed 1); 20 records share a question with one on another side, as it makes up more "
            "than a tenth of all"
        )
        assert prepared(tmp_path, *ROWS).split_rule.endswith("(seed 1)")

    @pytest.mark.parametrize("n", range(3, 60))
    def test_each_split_has_about_a_tenth(self, n: int) -> None:
        entries = [Dialogue(tuple(said(f"q{k % 7}", str(k))), "a") for k in range(n)]
        split = split_by_question(entries, 1, ["test", "val"])
        for side in ("test", "val"):
            assert 1 <= split.count(side) <= max(1, (n + 5) // 10) + max(1, n // 10) - 1
        assert split.count("train") >= 1

    def test_given_tests_are_the_test(self, tmp_path: Path) -> None:
        other = {"messages": said("Double 6.", "twelve")}
        (tmp_path / "test.jsonl").write_text(jsonl(*records("messages", 5), other))
        data = prepared(tmp_path, *ROWS, test_sources=["test.jsonl"])
        assert [d.where for d in data.dialogues("test")] == [
            f"test.jsonl, line {n}" for n in range(1, 7)
        ]
        assert data.format == "prompt-completion and messages"
        assert len(data.dialogues("val")) == 3
        left = {what: entry["count"] for what, entry in data.manifest["left_out"].items()}
        assert left == {
            "training records that are among those held out": 5,
            "training records whose question is among those held out": 1,
        }
        assert data.split_rule.startswith("test as given; in the order of SHA-256")


class TestSaidSplit:
    def rows(self, *said_of_each: str) -> list[Record]:
        return [row | {"split": name} for row, name in zip(ROWS, said_of_each, strict=False)]

    def test_it_is_kept(self, tmp_path: Path) -> None:
        data = prepared(tmp_path, *self.rows(*["train", "test", "train", "train"] * 10))
        assert [data.counts(s)["dialogues"] for s in ("train", "val", "test")] == [27, 3, 10]
        assert {d.where.split()[-1] for d in data.dialogues("test")} == {
            str(n) for n in range(2, 41, 4)
        }
        assert "divided by split" in data.notices[0]

    def test_all_three(self, tmp_path: Path) -> None:
        data = prepared(tmp_path, *self.rows(*["train", "test", "validation", "dev"] * 10))
        assert [data.counts(s)["dialogues"] for s in ("train", "val", "test")] == [10, 20, 10]
        assert data.split_rule == "test, val as given; the rest trains"

    def test_only_train_is_divided(self, tmp_path: Path) -> None:
        data = prepared(tmp_path, *self.rows(*["train"] * 40))
        assert [data.counts(s)["dialogues"] for s in ("train", "val", "test")] == [32, 4, 4]

    def test_of_a_test_file_only_the_test(self, tmp_path: Path) -> None:
        (tmp_path / "test.jsonl").write_text(jsonl(*self.rows(*["train", "test"] * 10)))
        data = prepared(tmp_path, *ROWS[20:], test_sources=["test.jsonl"])
        assert [data.counts(s)["dialogues"] for s in ("train", "val", "test")] == [18, 2, 10]
        assert any(
            line.startswith(
                "skipped records of the test files that say another split than test: 10"
            )
            for line in data.notices
        )


def test_formats_that_go_together_are_read_as_one(tmp_path: Path) -> None:
    Path("b.jsonl").write_text(jsonl(*records("text", 20)))
    Path("c.csv").write_text("question,answer\nWho are you?,groundup\n")
    Path("d.jsonl").write_text(jsonl(*CHATS))
    data = prepare_dialogues(["b.jsonl", "c.csv", "d.jsonl", "b.jsonl"], "data")
    assert data.format == "text and question-answer and messages"
    assert "named more than once, and read once: b.jsonl" in data.notices
    counts = [data.counts(split) for split in ("train", "val", "test")]
    assert sum(count["texts"] for count in counts) == 20
    assert sum(count["dialogues"] for count in counts) == 41


def test_other_encodings() -> None:
    Path("a.csv").write_bytes("prompt,completion\n1,é\n2,ü\n3,ß\n".encode("latin-1"))
    data = prepare_dialogues(["a.csv"], "data", encoding="latin-1")
    assert set(sides(data)) == {"1", "2", "3"}
    assert data.dialogues("train")[0].messages[1]["content"] in "éüß"


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    prepared(tmp_path, *records("text", 1500), progress=lambda *line: told.append(line))
    assert told == [("records", 1000, 0), ("records", 1500, 1500)]


@pytest.mark.network
def test_dialogues_of_people(tmp_path: Path) -> None:
    conversations = chitchat()
    data = prepared(tmp_path, *conversations, on_bad_record="skip")
    assert len(conversations) == 4018
    assert [data.counts(s)["dialogues"] for s in ("train", "val", "test")] == [3195, 400, 400]
    left = {what: entry["count"] for what, entry in data.manifest["left_out"].items()}
    assert left == {
        "last messages of the user that no reply follows (the rest stays)": 1878,
        "records with an empty reply": 4,
        "records with an empty question": 5,
        "repeated records (the first stays)": 14,
    }
