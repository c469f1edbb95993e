"""Records in tables: the rows of CSV and TSV, and of Parquet."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from groundup.base.errors import DataError, shown
from groundup.data.fields import Field, Records, Survey, choose_field
from groundup.data.packed import StoredFile, seekable
from groundup.data.streams import LARGEST_RECORD, lines, optional
from groundup.data.texts import Reading, Texts, texts_of

SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
SNIFFED_LINES = 200
SNIFFED_CHARACTERS = 1 << 20
TWICE = "the same name twice"
HOLDS_TEXT = re.compile("string|binary")
UNREADABLE = re.compile(f"time|duration|map<|union|{TWICE}")  # as Python values


def csv_records(pieces: Iterator[str], name: str, reading: Reading) -> Records:
    """Yield a dictionary for each row below the header, whose cells a comma or another separates.

    A row with another number of cells than the header is a `DataError` in its place.
    """
    return _rows(pieces, name, reading, ",")


def tsv_records(pieces: Iterator[str], name: str, reading: Reading) -> Records:
    """As `csv_records`, but cells are separated by a tab unless the header has none."""
    return _rows(pieces, name, reading, "\t")


def _rows(pieces: Iterator[str], name: str, reading: Reading, expected: str) -> Records:
    csv.field_size_limit(LARGEST_RECORD)  # of the whole process; its default is 128 KiB
    text = (line + "\n" for line in lines(pieces, name))
    start = _start(text)
    separator = find_separator(start, expected)
    if separator != expected:
        reading.log.read(name, f"the cells are separated by {SEPARATORS[separator]}")
    rows = _parsed(itertools.chain(start, text), separator)
    line, header = next(rows, (0, []))
    if isinstance(header, csv.Error):
        raise _no_csv(f"{name}, line {line}", header)
    columns = column_names(header)
    if reading.text_field is None and "text" not in columns:
        _refuse_texts(columns, name)
    for number, (line, row) in enumerate(rows, 1):
        label = f"{name}, record {number}"
        if isinstance(row, csv.Error):
            yield label, _no_csv(f"{label} (line {line})", row)
        elif len(row) != len(columns):
            yield label, _ragged(f"{label} (line {line})", len(row), columns, separator)
        else:
            yield label, dict(zip(columns, row, strict=True))


def _start(text: Iterator[str]) -> list[str]:
    """Return the lines by which the separator is found."""
    start, characters = [], 0
    for line in itertools.islice(text, SNIFFED_LINES):
        start.append(line)
        characters += len(line)
        if characters > SNIFFED_CHARACTERS:
            break
    return start


def find_separator(start: list[str], expected: str) -> str:
    """Return what separates the cells in the first lines of a table.

    It is in the header, and most rows have as many cells as the header then; if several would do,
    it is the one with the fewest other rows, then the `expected` one.
    """

    def fitness(separator: str) -> tuple[bool, float, bool, int]:
        header, *others = _widths(start, separator) or [0]
        others = others[:-1] or others  # the last one may be cut short
        fit = others.count(header) / len(others) if others else 1.0
        return header > 1 and fit > 0.5, fit, separator == expected, header

    best = max(SEPARATORS, key=fitness)
    return best if fitness(best)[0] else expected


def _widths(start: list[str], separator: str) -> list[int]:
    """Return the number of cells of each row that is not blank, up to one that is no CSV."""
    widths = []
    with suppress(csv.Error):
        widths += (len(row) for row in csv.reader(start, delimiter=separator) if row)
    return widths


def _parsed(text: Iterator[str], separator: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Yield the number of its first line and each row that is not blank, or what is wrong."""
    rows = csv.reader(text, delimiter=separator, strict=True)
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, error
            continue
        if row:
            yield line, row


def column_names(header: list[str]) -> list[str]:
    """Return the names of a header, where one that is empty or stands twice has its number."""
    names = [cell.strip() for cell in header]
    counts = Counter(names)
    return [
        name if name and counts[name] == 1 else f"{name} (column {number})".lstrip()
        for number, name in enumerate(names, 1)
    ]


def _refuse_texts(columns: list[str], name: str) -> None:
    """Raise `DataError` if the first row is no header: some text would be lost as a name."""
    for column in columns:
        if len(column.split(None, 6)) > 6:
            raise DataError(
                f"{name}: the first row should name the columns, but found '{shown(column, 60)}'; "
                "put a header above it, such as: text"
            )


def _ragged(label: str, found: int, columns: list[str], separator: str) -> DataError:
    return DataError(
        f"{label}: expected {len(columns)} cells as in the header ({shown(', '.join(columns))}), "
        f"but found {found}; quote what holds {SEPARATORS[separator]}, or mend or remove the row"
    )


def _no_csv(label: str, error: csv.Error) -> DataError:
    return DataError(f"{label}: expected CSV, but {error}; mend its quotes or remove it")


def parquet_texts(path: StoredFile, reading: Reading, size: int) -> Texts:
    """Yield where each record of a Parquet file stands, and its text, reading only that column."""
    parquet = optional("pyarrow.parquet", "parquet", str(path))
    failures = (optional("pyarrow", "parquet", str(path)).ArrowException, OSError, UnicodeError)
    with seekable(path, size) as plain:
        try:
            with parquet.ParquetFile(plain, buffer_size=size) as file:
                yield from _column_texts(file, str(path), reading)
        except failures as error:
            reason = str(error).strip().split("\n")[0].rstrip(".")
            raise DataError(
                f"{path}: expected a Parquet file, but {reason}; fetch or write it again"
            ) from error


def _column_texts(file: Any, name: str, reading: Reading) -> Texts:
    """Look at the column called so first, and at the others only where that has no text."""
    kinds = _kinds(file.schema_arrow)
    field = reading.text_field or "text"
    survey = Survey()
    if HOLDS_TEXT.search(kinds.get(field, "")):
        survey.add_until(_parquet_rows(file, name, [field]), field)
    if not survey.has_text(field):
        outer = dict.fromkeys(file.schema_arrow.names)
        readable = [column for column in outer if not UNREADABLE.search(kinds[column])]
        survey = Survey()
        survey.add_until(_parquet_rows(file, name, readable), field)
        for column in outer.keys() - set(readable):
            survey.fields[column] = Field(top=True, kinds={kinds[column]})
        field = choose_field(survey, name, reading.text_field)
    if "binary" in kinds.get(field, ""):
        reading.log.read(name, f"the bytes in the field '{field}' are read as UTF-8")
    return texts_of(_parquet_rows(file, name, [field]), name, field, reading)


def _kinds(fields: Any, outer: str = "") -> dict[str, str]:
    """Return the type of each column and, as `outer.inner`, of each field of a struct."""
    kinds: dict[str, str] = {}
    for field in fields:
        name = outer + field.name
        kinds[name] = TWICE if name in kinds else str(field.type)
        if kinds[name].startswith("struct"):
            kinds |= _kinds(field.type, f"{name}.")
    return kinds


def _parquet_rows(file: Any, name: str, columns: list[str]) -> Records:
    batches = file.iter_batches(batch_size=64, columns=columns)
    rows = itertools.chain.from_iterable(batch.to_pylist() for batch in batches)
    for number, row in enumerate(rows, 1):
        yield f"{name}, record {number}", row
