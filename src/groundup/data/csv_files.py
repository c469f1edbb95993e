"""Records in CSV and TSV: what separates the cells, and whether quotes hold them together."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from groundup.base.errors import DataError, shown
from groundup.data.streams import LARGEST_RECORD, lines
from groundup.data.text_fields import NOT_TEXT, Records
from groundup.data.texts import Reading

SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
STYLE_LINES = 10_000
STYLE_CHARACTERS = 1 << 20
"""The most lines, or characters, by which the style is found."""
SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?\n', re.IGNORECASE)
NUMBER = NOT_TEXT["numbers"]
SENTENCE = re.compile(r"(\S+\s+){6}\S.*|.*[.!]", re.DOTALL)


@dataclass(frozen=True)
class Style:
    """How the cells of a table are written."""

    separator: str
    quoted: bool = True
    spaced: bool = False  # a space that is no part of a cell follows each separator

    def rows(self, text: Iterable[str], *, strict: bool = False) -> Any:
        """Return the rows of `text`, a line a piece, as a reader of Python's csv."""
        return csv.reader(
            text,
            delimiter=self.separator,
            quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
            skipinitialspace=self.spaced,
            strict=strict,
        )

    def first_rows(self, start: list[str]) -> list[list[str]]:
        """Return the rows that are not blank, up to one that is no CSV."""
        found: list[list[str]] = []
        with suppress(csv.Error):
            found += (row for row in self.rows(start) if row)
        return found

    def notices(self, expected: str) -> Iterator[str]:
        """Yield what is not as in most files whose cells are separated by `expected`."""
        if self.separator != expected:
            yield f"the cells are separated by {SEPARATORS[self.separator]}"
        if not self.quoted:
            yield "quotes are part of the cells"


def csv_records(pieces: Iterator[str], name: str, reading: Reading) -> Records:
    """Yield a dictionary for each row below the header, whose cells a comma or another separates.

    A row with another number of cells than the header is a `DataError` in its place.
    """
    return _records(pieces, name, reading, ",")


def tsv_records(pieces: Iterator[str], name: str, reading: Reading) -> Records:
    """As `csv_records`, but cells are separated by a tab unless the header has none."""
    return _records(pieces, name, reading, "\t")


def _records(pieces: Iterator[str], name: str, reading: Reading, expected: str) -> Records:
    csv.field_size_limit(LARGEST_RECORD)  # of the whole process; its default is 128 KiB
    text = (line + "\n" for line in lines(pieces, name))
    start = _start(text)
    if start and (said := SEPARATOR_LINE.fullmatch(start[0])):  # by a spreadsheet, above the header
        expected, start[0] = said[1], "\n"
    style = find_style(start, expected)
    for notice in style.notices(expected):
        reading.log.read(name, notice)
    rows = _rows(itertools.chain(start, text), name, style)
    _, header = next(rows, (0, list[str]()))
    if isinstance(header, DataError):
        raise header
    columns = column_names(header)
    if reading.text_field is None and "text" not in columns:
        _refuse_data(header, style.first_rows(start), name, reading)
    for number, (line, row) in enumerate(rows, 1):
        label = f"{name}, record {number}"
        if isinstance(row, DataError):
            yield label, row
        elif row == header and len(list(filter(str.strip, row))) > 1:
            yield label, DataError(f"{label} (line {line}): the header again; remove the row")
        elif len(row) == len(columns):
            yield label, dict(zip(columns, row, strict=True))
        else:
            yield label, _ragged(f"{label} (line {line})", len(row), columns, style)


def _start(text: Iterator[str]) -> list[str]:
    """Return the lines by which the style is found."""
    start, characters = [], 0
    for line in itertools.islice(text, STYLE_LINES):
        start.append(line)
        characters += len(line)
        if characters > STYLE_CHARACTERS:
            break
    return start


def find_style(start: list[str], expected: str) -> Style:
    """Return how the cells in the first lines of a table are written.

    The separator is in the header, and most rows have as many cells as the header then; if several
    would do, it is the one that fits the most rows, then the `expected` one. Quotes are part of the
    cells where tabs separate them, each line has as many as the header, and one begins with a quote
    that does not end it.
    """

    def fitness(style: Style) -> tuple[bool, float, bool, int]:
        header, *others = map(len, style.first_rows(start) or [[]])
        others = others[:-1] or others  # the last one may be cut short
        fit = others.count(header) / len(others) if others else 1.0
        return header > 1 and fit > 0.5, fit, style.separator == expected, header

    best = max(map(Style, SEPARATORS), key=fitness)
    if not fitness(best)[0]:
        best = Style(expected)
    _, *others = next(filter(str.strip, start), "").split(best.separator)
    spaced = bool(others) and all(cell.startswith(" ") for cell in others)
    raw = best.separator == "\t" and _has_raw_quotes(start)
    return Style(best.separator, quoted=not raw, spaced=spaced)


def _has_raw_quotes(start: list[str]) -> bool:
    rows = [line.rstrip("\n").split("\t") for line in start if line.strip()]
    if len({len(row) for row in rows}) != 1 or len(rows[0]) == 1:
        return False  # a cell that quotes hold together has line ends in it
    cells = itertools.chain.from_iterable(rows)
    return any(c.startswith('"') and not (c.endswith('"') and len(c) > 1) for c in cells)


def _rows(
    text: Iterator[str], name: str, style: Style
) -> Iterator[tuple[int, list[str] | DataError]]:
    """Yield the line where it begins, and each row that is not blank; or what is wrong with it.

    Where quotes do not match and several lines went into the row, nobody knows how many rows they
    are: that is raised.
    """
    rows = style.rows(text, strict=True)
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            wrong = DataError(
                f"{name}, line {line}: expected CSV, but {error}; mend its quotes or remove it"
            )
            if rows.line_num > line:
                raise wrong from error
            yield line, wrong
        else:
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


def _refuse_data(header: list[str], rows: list[list[str]], name: str, reading: Reading) -> None:
    """Raise `DataError` if the first row is no header: its text would be lost as a name.

    Then a cell is a sentence, or a number like those below it, or often stands below it, too; or
    it is the only one of a title above the table.
    """
    named = [cell for cell in header if cell.strip()]
    alone = len(named) == 1 and len(header) > 2
    words = [cell for cell in named if not NUMBER.fullmatch(cell.strip())]
    below = [row for row in rows if len(row) == len(header) and row != header]
    for number, cell in enumerate(header):
        column = [row[number] for row in below]
        numbers = sum(NUMBER.fullmatch(value.strip()) is not None for value in column)
        if cell.strip() and (
            alone
            or SENTENCE.fullmatch(cell)
            or (words and cell not in words and numbers > 0.9 * len(column))
            or column.count(cell) > max(1, 0.05 * len(column))
        ):
            raise DataError(
                f"{name}: the first row should name the columns, but found '{shown(cell, 60)}'; "
                f"put a header above it, such as '{reading.header}'{reading.or_choose}"
            )


def _ragged(label: str, found: int, columns: list[str], style: Style) -> DataError:
    return DataError(
        f"{label}: expected {len(columns)}, as in the header ({shown(', '.join(columns))}), "
        f"but found {found} cells; quote what holds {SEPARATORS[style.separator]}, "
        "or mend or remove the row"
    )
