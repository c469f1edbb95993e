"""Labelled records from files to the folder that keeps them."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from groundup.data.labelled import prepare_labelled
from groundup.data.labelled_folder import open_labelled
from groundup.data.record_sets import RECORD_SETS, LabelledSet
from tests.data.labelling import csv_rows, jsonl, messages, prepared, sides

ROWS = messages(60)
EXPECTED = {text: label for label, text in ROWS}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def parquet(path: Path) -> None:
    labels, texts = zip(*ROWS, strict=True)
    times = pa.array(range(60), pa.timestamp("ns"))
    pq.write_table(pa.table({"label": labels, "text": texts, "when": times}), path)


WRITERS: dict[str, Any] = {
    "a.csv": lambda path: path.write_text(csv_rows(*ROWS)),
    "a.tsv": lambda path: path.write_text(csv_rows(*ROWS).replace(",", "\t")),
    "a.csv.gz": lambda path: path.write_bytes(gzip.compress(csv_rows(*ROWS).encode())),
    "a.jsonl": lambda path: path.write_text(jsonl(*({"label": a, "text": b} for a, b in ROWS))),
    "a.json": lambda path: path.write_text(
        json.dumps({"data": [{"label": a, "text": b} for a, b in ROWS], "version": "one"})
    ),
    "a.parquet": parquet,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_examples(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    data = prepare_labelled([name], "data")
    found = [e for split in ("train", "val", "test") for e in data.examples(split)]
    assert {e.text: e.label for e in found} == EXPECTED
    assert data.labels == ("ham", "spam")
    assert (
        sorted(e.where for e in found)[0] == f"{name}, {'line' if 'jsonl' in name else 'record'} 1"
    )
    assert data.counts("train") == {"ham": 24, "spam": 24}
    assert data.counts("test") == data.counts("val") == {"ham": 3, "spam": 3}
    assert data.fingerprint == prepared(tmp_path, csv_rows(*ROWS), "other.csv").fingerprint


def test_what_was_guessed_and_left_out_is_told(tmp_path: Path) -> None:
    text = csv_rows(
        *ROWS,
        (" ham ", "MESSAGE number 0  says so"),
        ("ham", "both"),
        ("spam", "Both"),
        ("ham", ""),
        header="Category,Message",
    )
    data = prepared(tmp_path, text, on_bad_record="skip")
    assert [line.replace(f"{tmp_path}/", "") for line in data.notices] == [
        "a.csv: the text is the field 'Message', the label 'Category', in 63 of 64 records",
        "skipped records without a text: 1 (a.csv, record 64)",
        "skipped repeated texts (the first stays): 1 (a.csv, record 61)",
        "skipped texts with different labels (all of them): 2 (a.csv, record 62, a.csv, record 63)",
        "white space around labels is left out: 1 (a.csv, record 61)",
    ]
    manifest = data.manifest
    assert [entry["count"] for entry in manifest["left_out"].values()] == [1, 1, 2]
    assert manifest["records"] == 64
    assert sum(entry["examples"] for entry in manifest["splits"].values()) == 60


def test_it_is_found_again(tmp_path: Path) -> None:
    first = prepared(tmp_path, csv_rows(*ROWS))
    written = [first.folder / name for name in ("examples.jsonl", "manifest.json")]
    before = [path.stat().st_mtime_ns for path in written]
    again = prepared(tmp_path, csv_rows(*ROWS))
    assert (again.folder, again.manifest) == (first.folder, first.manifest)
    assert [path.stat().st_mtime_ns for path in written] == before
    others = [
        prepared(tmp_path, csv_rows(*ROWS), split_seed=2),
        prepared(tmp_path, csv_rows(*ROWS[1:])),
        prepared(tmp_path, csv_rows(*ROWS, ROWS[0])),  # of which something else is left out
    ]
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == 4


def test_examples_stand_where_they_were_read_last(tmp_path: Path) -> None:
    prepared(tmp_path, csv_rows(*ROWS), "a.csv")
    again = prepared(tmp_path, csv_rows(*ROWS), "b.csv")
    found = [one for split in ("train", "val", "test") for one in again.examples(split)]
    assert {one.where.partition(", ")[0] for one in found} == {str(tmp_path / "b.csv")}
    assert [replace(one, where="") for one in again.examples("test")] == [
        replace(one, where="") for one in open_labelled(again.folder).examples("test")
    ]


def test_a_text_keeps_its_side_whatever_the_order(tmp_path: Path) -> None:
    mixed = random.Random(0).sample(ROWS, len(ROWS))
    assert sides(prepared(tmp_path, csv_rows(*mixed))) == sides(prepared(tmp_path, csv_rows(*ROWS)))


def test_groups_stay_together(tmp_path: Path) -> None:
    rows = [(*row, f"author {k % 12}") for k, row in enumerate(ROWS)]
    data = prepared(tmp_path, csv_rows(*rows, header="label,text,who"), group_field="who")
    groups = {s: {e.group for e in data.examples(s)} for s in ("train", "val", "test")}
    assert sum(map(len, groups.values())) == len(set.union(*groups.values())) == 12
    assert data.manifest["splits"]["train"]["groups"] == len(groups["train"])
    assert data.split_rule.startswith("by group")


class TestGivenTest:
    def test_its_records_are_the_test(self, tmp_path: Path) -> None:
        test = [("ham", "a new one"), ("ham", ROWS[1][1]), ("ham", "A new  one")]
        (tmp_path / "test.csv").write_text(csv_rows(*test))
        data = prepared(tmp_path, csv_rows(*ROWS), test_sources=["test.csv"])
        assert [e.where for e in data.examples("test")] == [
            "test.csv, record 1",
            "test.csv, record 2",
        ]
        assert ROWS[1][1] not in {e.text for s in ("train", "val") for e in data.examples(s)}
        assert sum(data.counts("val").values()) == 6
        told = "\n".join(data.notices)
        assert "training texts that are in the test records: 1 (" in told
        assert "the test records have no example of spam" in told
        assert data.manifest["test_sources"] == ["test.csv"]


def test_several_files_are_read_as_one(tmp_path: Path) -> None:
    Path("ham.csv").write_text(csv_rows(*(row for row in ROWS if row[0] == "ham")))
    Path("spam.jsonl").write_text(jsonl(*({"body": b, "label": a} for a, b in ROWS if a == "spam")))
    data = prepare_labelled(["ham.csv", "spam.jsonl", "ham.csv"], "data")
    assert {e.text: e.label for s in ("train", "val", "test") for e in data.examples(s)} == EXPECTED
    assert "named more than once, and read once: ham.csv" in data.notices
    assert data.manifest["fields"]["spam.jsonl"] == {
        "text": "body",
        "label": "label",
        "group": None,
    }


def test_a_number_written_in_several_ways_is_told(tmp_path: Path) -> None:
    data = prepared(tmp_path, csv_rows(*messages(40, ["1", "01", "+1", "2", "1.0"])))
    assert data.labels == ("+1", "01", "1", "2")
    *_, changed, alike = [line.replace(f"{tmp_path}/", "") for line in data.notices]
    assert changed == "labels such as 1.0 are read as 1: 8 (a.csv, record 5, …)"
    assert alike == (
        "'+1' (a.csv, record 3) and '01' (a.csv, record 2) and '1' (a.csv, record 1) differ only "
        "in how they are written, and are different classes"
    )


def test_other_encodings(tmp_path: Path) -> None:
    Path("a.csv").write_bytes(csv_rows(*ROWS, ("ham", "café")).encode("latin-1"))
    data = prepare_labelled(["a.csv"], "data", encoding="latin-1")
    assert "café" in sides(data)


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    prepared(tmp_path, csv_rows(*messages(2500)), progress=lambda *line: told.append(line))
    assert told == [("records", 1000, 0), ("records", 2000, 0), ("records", 2500, 2500)]


@pytest.mark.network
def test_testaments_are_divided_by_book() -> None:
    data = prepare_labelled(["testaments"], "data")
    known = RECORD_SETS["testaments"]
    assert isinstance(known, LabelledSet)
    books = [{e.group for e in data.examples(split)} for split in ("train", "val", "test")]
    assert sum(map(len, books)) == len(set.union(*books)) == 66
    assert data.labels == ("new", "old")
    for split in ("val", "test"):
        for label, count in data.counts(split).items():
            assert count == pytest.approx(known.labels[label] / 10, rel=0.25)
