"""CSV and TSV whatever separates their cells."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.data.csv_files import Style, column_names, find_style
from groundup.data.reading_log import ReadingLog
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
        assert find_style([f"{line}\n" for line in lines], ",") == Style(expected)

    @given(
        separator=st.sampled_from(",;\t|"),
        cells=st.lists(
            st.tuples(*[st.text('ab ,;|"\n', min_size=1).filter(str.strip)] * 2), min_size=1
        ),
        quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    )
    def test_what_was_written_is_read(
        self, separator: str, cells: list[tuple[str, str]], quoting: Any
    ) -> None:
        written = [["one", "two"], *map(list, cells)]
        start = [f"{line}\n" for line in table(written, separator, quoting).splitlines()]
        assert list(find_style(start, ",").rows(start, strict=True)) == written

    def test_a_row_that_is_cut_off_does_not_count(self) -> None:
        start = ["text;label\n", "One.;1\n", '"Two, and\n', "three\n"]
        assert find_style(start, ",") == Style(";")


class TestRows:
    @pytest.mark.parametrize(
        ("row", "found"), [("2", 1), ("2,two,", 3), ("2,one, two", 3)], ids=["few", "empty", "many"]
    )
    def test_ragged(self, tmp_path: Path, row: str, found: int) -> None:
        path = tmp_path / "a.csv"
        path.write_text(f"id,text\n1,one\n{row}\n\n3,three\n")
        error = message(path)
        assert error.startswith(f"{path}, record 2 (line 3): expected 2, as in the header (")
        assert f"but found {found} cells;" in error
        log = ReadingLog()
        assert read(path, log=log, on_bad_record="skip") == ["one", "three"]
        assert log.skipped == {"records that cannot be used": 1}

    @pytest.mark.parametrize("row", ['2,"two" too', '2,"t\\"wo"'])
    def test_quotes_that_do_not_match(self, tmp_path: Path, row: str) -> None:
        path = tmp_path / "a.csv"
        path.write_text(f"id,text\n1,one\n{row}\n3,three\n")
        assert message(path).startswith(f"{path}, line 3: expected CSV, but")
        assert read(path, on_bad_record="skip") == ["one", "three"]

    @pytest.mark.parametrize("rest", ["", '4,"four"\n'])
    def test_a_quote_that_takes_further_rows_along_is_not_skipped(
        self, tmp_path: Path, rest: str
    ) -> None:
        path = tmp_path / "a.csv"
        path.write_text(f'id,text\n1,one\n2,"two\n3,three\n{rest}')
        error = message(path, on_bad_record="skip")
        assert error.startswith(f"{path}, line 3: expected CSV, but")

    def test_a_space_after_each_separator(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text('id, text\n1, "one, two"\n2, three\n')
        assert read(path) == ["one, two", "three"]

    def test_a_spreadsheet_says_its_separator(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text("sep=;\ntext;n\none;1\ntwo;2\n")
        assert read(path) == ["one", "two"]

    def test_tabs_without_quoting(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tsv"
        path.write_text('text\tn\n"One" is one.\t1\nA "two" too.\t2\n"\t3\n"Open.\t4\n')
        log = ReadingLog()
        expected = ['"One" is one.', 'A "two" too.', '"', '"Open.']
        assert read(path, log=log) == expected
        assert "a.tsv: quotes are part of the cells" in log.lines()[0]
        path.write_text('text\tn\n"One ""and"" two."\t1\n"Two\nlines."\t2\n')
        assert read(path) == ['One "and" two.', "Two\nlines."]

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
        path.write_text("The owl wakes.,0\nThe fox sleeps.,1\n")
        assert "but found 'The owl wakes.'" in message(path)

    @pytest.mark.parametrize(
        ("found", "rows"),
        [
            (
                "My export",
                ["My export,,", "id,text,n", *(f"{n},The fox sleeps,2" for n in range(9))],
            ),
            ("7", [f"{n},The fox and owl {n}" for n in range(7, 30)]),
            ("2020-01-07", [f"the fox {n},2020-01-{n:02}" for n in range(7, 30)]),
            ("pos", ["pos,The fox sleeps", *["neg,The owl wakes", "pos,The day ends"] * 5]),
        ],
    )
    def test_a_row_in_place_of_a_header(self, tmp_path: Path, found: str, rows: list[str]) -> None:
        path = tmp_path / "a.csv"
        path.write_text("\n".join(rows))
        assert f"the first row should name the columns, but found '{found}'" in message(path)

    @pytest.mark.parametrize(
        "header", [",0", "index,0", "0,1", "0,text", ",body", "word,body", "id,fox 5"]
    )
    def test_a_header_all_the_same(self, tmp_path: Path, header: str) -> None:
        path = tmp_path / "a.csv"
        texts = [f"fox {n}" for n in range(30)]
        path.write_text("\n".join([header, *(f"{n},{text}" for n, text in enumerate(texts))]))
        assert read(path) == texts

    def test_the_header_again(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text("id,text\n1,one fox\nid,text\n1,two owls\n")
        assert f"{path}, record 2 (line 3): the header again; remove the row" in message(path)
        assert read(path, on_bad_record="skip") == ["one fox", "two owls"]
        path.write_text(",\n,\n")
        assert "the header again" not in message(path)
        path.write_text("word\nfox\nword\n")
        assert read(path) == ["fox", "word"]
