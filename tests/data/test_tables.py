"""CSV and TSV whatever separates their cells, and the columns of Parquet."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from groundup.data.reading import ReadingLog
from groundup.data.tables import column_names, find_separator
from tests.data.reading import message, read

TEXTS = ["One; two, three|four\tfive.", 'He said "no",\nand left.', "Plain.", "A, b, c; d."]
TABLE = [["label", "text"], *([str(n % 2), text] for n, text in enumerate(TEXTS * 5))]


def table(rows: list[list[str]], separator: str, quoting: Any = csv.QUOTE_MINIMAL) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=separator, quoting=quoting).writerows(rows)
    return file.getvalue()


class TestSeparators:
    @pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    @pytest.mark.parametrize("ending", [".csv", ".tsv"])
    @pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
    def test_found_and_shown(
        self, tmp_path: Path, separator: str, ending: str, quoting: Any
    ) -> None:
        path = tmp_path / f"a{ending}"
        path.write_text("\ufeff" + table(TABLE, separator, quoting), newline="")
        log = ReadingLog()
        assert read(path, log=log) == TEXTS * 5
        shown = separator != {".csv": ",", ".tsv": "\t"}[ending]
        assert len(log.lines()) == 1 + shown
        assert ("the cells are separated by a" in log.lines()[0]) == shown

    @pytest.mark.parametrize(
        ("expected", "lines"),
        [
            (",", ["text", "One, two.", "Three; four."]),
            (",", ["text", "Plain."]),
            (",", ["a,b;c", "1,2;3", "x,y"]),
            (";", ["text;label", "One, two.;1", "Three, four, five.;0"]),
            (";", ["text;label", "One.;1"]),
            (";", ["text;label", "One.;1", "Ragged;2;3", "Two.;1", "Three.;1"]),
            (";", ["a;b;c,d", "1;2;3,5", "1;2;4", "1;2;6", "x;y;z"]),
            ("\t", ["text\tlabel", "One, two.\t1"]),
            ("|", ["text|label|n", '"a|b"|1|2', "c|2|3"]),
        ],
    )
    def test_header_and_first_rows_decide(self, expected: str, lines: list[str]) -> None:
        assert find_separator([f"{line}\n" for line in lines], ",") == expected

    def test_a_row_that_is_cut_off_does_not_count(self) -> None:
        start = ["text;label\n", "One.;1\n", '"Two, and\n', "three\n"]
        assert find_separator(start, ",") == ";"


class TestRows:
    @pytest.mark.parametrize(
        ("row", "found"), [("2", 1), ("2,two,", 3), ("2,one, two", 3)], ids=["few", "empty", "many"]
    )
    def test_ragged(self, tmp_path: Path, row: str, found: int) -> None:
        path = tmp_path / "a.csv"
        path.write_text(f"id,text\n1,one\n{row}\n\n3,three\n")
        error = message(path)
        assert error.startswith(f"{path}, record 2 (line 3): expected 2 cells as in the header")
        assert f"but found {found};" in error
        log = ReadingLog()
        assert read(path, log=log, on_bad_record="skip") == ["one", "three"]
        assert log.skipped == {"records that cannot be used": 1}

    @pytest.mark.parametrize("row", ['2,"two', '2,"two" too', '2,"t\\"wo"'])
    def test_quotes_that_do_not_match(self, tmp_path: Path, row: str) -> None:
        path = tmp_path / "a.csv"
        path.write_text(f"id,text\n1,one\n{row}\n")
        assert message(path).startswith(f"{path}, record 2 (line 3): expected CSV, but")
        assert read(path, on_bad_record="skip") == ["one"]

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_line_ends_in_cells(self, tmp_path: Path, end: str) -> None:
        path = tmp_path / "a.csv"
        path.write_text(f'text,n{end}"one{end}two",1{end}"three\rfour",2{end}', newline="")
        assert read(path) == ["one\ntwo", "three\nfour"]

    def test_blank_cells_and_lines(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text("text,n\none,1\n\n,2\n  ,3\ntwo,4\nthree,5\n")
        log = ReadingLog()
        assert read(path, log=log) == ["one", "two", "three"]
        assert log.skipped == {"records without a text": 2}


class TestHeaders:
    def test_names(self) -> None:
        assert column_names(["", " text ", "x", "x", ""]) == [
            "(column 1)",
            "text",
            "x (column 3)",
            "x (column 4)",
            "(column 5)",
        ]

    def test_doubles_matter_only_where_they_are_the_text(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text(",x,x,text\n0,1,2,one\n")
        assert read(path) == ["one"]
        path.write_text("text,text\none fox,two owls\nthree,four\n")
        assert "found text (column 1) (text), text (column 2) (text)" in message(path)
        assert read(path, text_field="text (column 2)") == ["two owls", "four"]

    def test_no_column_of_texts(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text("id,label,n\n" + "a1,pos,0.5\nb2,neg,1.5\n" * 9)
        assert "found id (ids), label (labels), n (numbers);" in message(path)

    def test_a_text_in_place_of_a_header(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text("The fox sleeps near the old river.,1\nThe owl wakes.,0\n")
        assert "the first row should name the columns, but found 'The fox" in message(path)


def strings(kind: pa.DataType) -> pa.Array:
    return pa.array(["one fox", None, "two owls"], pa.string()).cast(kind)


class TestParquet:
    def write(self, path: Path, **columns: Any) -> Path:
        pq.write_table(pa.table(columns), path)
        return path

    @pytest.mark.parametrize("name", ["text", "body"])
    @pytest.mark.parametrize(
        "kind",
        [
            pa.string(),
            pa.large_string(),
            pa.string_view(),
            pa.binary(),
            pa.large_binary(),
            pa.dictionary(pa.int32(), pa.string()),
        ],
        ids=str,
    )
    def test_kinds_of_strings(self, tmp_path: Path, kind: pa.DataType, name: str) -> None:
        stamps = pa.array([10**9 + 1] * 3, pa.timestamp("ns"))
        columns = {"id": ["a-1", "a-2", "a-3"], name: strings(kind), "at": stamps, "n": [1, 2, 3]}
        path = self.write(tmp_path / "a.parquet", **columns)
        log = ReadingLog()
        assert read(path, log=log) == ["one fox", "two owls"]
        assert f"the text is the field '{name}', in 2 of 3 records" in " ".join(log.lines())
        assert ("read as UTF-8" in log.lines()[0]) == ("binary" in str(kind))
        assert log.skipped == {"records without a text": 1}

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        path = self.write(tmp_path / "a.parquet", text=[b"\xff\xfe", b"\x89PNG"])
        assert "found text (bytes);" in message(path)
        path = self.write(path, text=[b"fine", b"\xff"])
        assert "record 2: expected a string in the field 'text', but found bytes" in message(path)
        assert read(path, on_bad_record="skip") == ["fine"]

    def test_nested(self, tmp_path: Path) -> None:
        path = self.write(tmp_path / "a.parquet", data=[{"text": "one fox", "n": 1}], id=["a-1"])
        assert "--text-field data.text" in message(path)
        assert read(path, text_field="data.text") == ["one fox"]

    def test_chats_and_tokens(self, tmp_path: Path) -> None:
        chats = [[{"role": "user", "content": "one fox"}]]
        assert "are chats" in message(self.write(tmp_path / "a.parquet", id=["x"], messages=chats))
        assert "are tokens" in message(self.write(tmp_path / "a.parquet", id=["x"], tokens=[[1]]))

    def test_named(self, tmp_path: Path) -> None:
        stamps = pa.array([10**9 + 1], pa.timestamp("ns"))
        columns = {"title": ["one fox"], "body": ["two owls"], "n": [3], "at": stamps}
        path = self.write(tmp_path / "a.parquet", **columns)
        assert read(path, text_field="body") == ["two owls"]
        assert "found title (text), body (text), n (int), at (timestamp[ns])" in message(path)
        for name in ("nobody", "n", "at"):
            assert f"no text in the field '{name}'" in message(path, text_field=name)

    def test_the_same_name_twice(self, tmp_path: Path) -> None:
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table([pa.array(["a b"]), pa.array(["c"])], names=["text", "text"]), path)
        assert "text (the same name twice)" in message(path)

    def test_only_what_is_needed_is_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = self.write(tmp_path / "a.parquet", text=["one"], image=[b"x" * 99])
        asked = []
        plain = pq.ParquetFile.iter_batches

        def spy(self: Any, **options: Any) -> Any:
            asked.append(options["columns"])
            return plain(self, **options)

        monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
        assert read(path) == ["one"]
        assert asked == [["text"], ["text"]]
