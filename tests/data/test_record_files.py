"""Every format of records reads back, and what is damaged is named."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from groundup.base.errors import DataError
from groundup.data.documents import read_documents
from tests.data.reading import (
    MEBI,
    PACKERS,
    WRITERS,
    Texts,
    csv_bytes,
    message,
    names,
    parquet_bytes,
    plain,
    read,
)

any_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
texts = any_text.filter(lambda text: text.strip() and text[0] != "\ufeff")
in_tmp = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


class TestFormats:
    @in_tmp
    @pytest.mark.parametrize(("packing", "pack"), PACKERS, ids=[name or "-" for name, _ in PACKERS])
    @pytest.mark.parametrize(("ending", "write"), WRITERS, ids=[w.__name__ for _, w in WRITERS])
    @given(text=texts, chunk_size=st.integers(1, 9))
    @example(text="0" * 11, chunk_size=1)
    @example(text="a\r\nb\u2028c\x85d\x0be", chunk_size=1)
    @example(text='"é\r\n\r,😀"\n\n', chunk_size=2)
    def test_any_text_in_any_format_reads_back(
        self,
        tmp_path: Path,
        ending: str,
        write: Callable[[Texts], bytes],
        packing: str,
        pack: Callable[[bytes], bytes],
        text: str,
        chunk_size: int,
    ) -> None:
        path = tmp_path / f"file{ending}{packing}"
        path.write_bytes(pack(write([text])))
        documents = list(read_documents([str(path)], chunk_size=chunk_size))
        assert len(documents) == 1
        pieces = list(documents[0].chunks)
        assert "".join(pieces) == plain(text)
        assert all(0 < len(piece) <= chunk_size + 1 for piece in pieces)

    @pytest.mark.parametrize(("ending", "write"), WRITERS[2:], ids=lambda value: str(value)[:12])
    def test_each_record_is_a_document(
        self, tmp_path: Path, ending: str, write: Callable[[Texts], bytes]
    ) -> None:
        path = tmp_path / f"file{ending}"
        path.write_bytes(write(["one", "", "two", " \n", "three"]))
        assert read(path) == ["one", "two", "three"]
        kind = "line" if ending == ".jsonl" else "record"
        assert names(path) == [f"{path}, {kind} {number}" for number in (1, 3, 5)]

    def test_one_json_record(self, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text('{"text": "one", "title": "two"}')
        (tmp_path / "b.json").write_text('"three"')
        assert read(tmp_path) == ["one", "three"]

    def test_endings_may_be_in_capitals(self, tmp_path: Path) -> None:
        (tmp_path / "A.JSONL.GZ").write_bytes(gzip.compress(b'{"text": "one"}'))
        assert read(tmp_path) == ["one"]

    def test_unknown_endings_are_plain_text_when_named(self, tmp_path: Path) -> None:
        (tmp_path / "notes.log").write_text("one")
        assert read(tmp_path / "notes.log") == ["one"]

    def test_csv_fields_may_be_long(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_bytes(csv_bytes(["word " * 100_000]))
        assert read(tmp_path) == ["word " * 100_000]


class TestUnusable:
    @pytest.mark.parametrize("line", ['{"text": "x"', "nonsense", "[" * 100_000, "1" * 5000])
    def test_malformed_line(self, tmp_path: Path, line: str) -> None:
        path = tmp_path / "a.jsonl"
        path.write_text(f'{{"text": "fine"}}\n{line}\n')
        assert message(path).startswith(f"{path}, line 2: expected ")

    def test_malformed_json(self, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text('[{"text": "x"},\n]')
        assert "a.json: expected JSON, but" in message(tmp_path)

    def test_record_over_the_limit_is_not_read_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        with path.open("wb") as file:
            file.write(b'{"text": "fine"}\n{"text": "')
            file.write(b"x" * (66 * MEBI))
            file.write(b"\xff")  # never reached
        documents = read_documents([str(path)])
        assert next(documents).text() == "fine"
        with pytest.raises(DataError, match=r"a\.jsonl, line 2: a record over 64 MiB; "):
            next(documents)

    def test_large_json(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("groundup.data.json_files.LARGEST_RECORD", MEBI)
        (tmp_path / "a.json").write_text(json.dumps(["x" * MEBI]))
        error = message(tmp_path)
        assert "may hold 1 MiB" in error
        assert ".jsonl" in error

    def test_csv_field_over_the_limit(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limit = csv.field_size_limit()
        monkeypatch.setattr("groundup.data.csv_files.LARGEST_RECORD", 1000)
        (tmp_path / "a.csv").write_text('id,text\n1,"' + "one\n" * 500)
        assert "expected CSV, but field larger than field limit" in message(tmp_path)
        csv.field_size_limit(limit)

    @pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
    @pytest.mark.parametrize("ending", [".jsonl", ".json"])
    def test_escapes_that_are_no_text(self, tmp_path: Path, text: str, ending: str) -> None:
        (tmp_path / f"a{ending}").write_text(json.dumps({"text": text}))
        assert "at character 1" in message(tmp_path)

    @pytest.mark.parametrize("keep", [0, 5, 50, -1])
    def test_parquet_cut_short(self, tmp_path: Path, keep: int) -> None:
        (tmp_path / "a.parquet").write_bytes(parquet_bytes(["one"])[:keep])
        assert "a.parquet: expected a Parquet file, but" in message(tmp_path)
