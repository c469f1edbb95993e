"""Files of records (JSON Lines, JSON, CSV, Parquet): which field is the text, and what it says."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from groundup.base.errors import DataError
from groundup.data.packed import StoredFile, seekable
from groundup.data.streams import LARGEST_RECORD, lines, longer_than, optional, plain_newlines

Records = Iterator[tuple[str, Any]]  # where it stands ("data.jsonl, line 3"), and what it is


def jsonl_records(pieces: Iterator[str], name: str) -> Records:
    """Yield the value on each line that is not blank."""
    for number, line in enumerate(lines(pieces, name), 1):
        if line and not line.isspace():
            label = f"{name}, line {number}"
            yield label, _parse(line, label)


def json_records(pieces: Iterator[str], name: str) -> Records:
    """Yield the values of a list, or the one value, of a JSON file of at most 64 MiB."""
    text = ""
    for piece in pieces:
        text += piece
        if longer_than(text, LARGEST_RECORD):
            raise DataError(
                f"{name}: a JSON file is read whole and may hold {LARGEST_RECORD >> 20} MiB; write "
                "it as .jsonl, a record a line, which may be of any size"
            )
    if not text or text.isspace():
        return
    value = _parse(text, name)
    for number, record in enumerate(value if isinstance(value, list) else [value], 1):
        yield f"{name}, record {number}", record


def _parse(text: str, label: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{label}: expected JSON, but {error}; mend or remove it") from error


def csv_records(pieces: Iterator[str], name: str) -> Records:
    """Yield a dictionary for each row below the header."""
    csv.field_size_limit(LARGEST_RECORD)  # of the whole process; its default is 128 KiB
    rows = csv.DictReader(line + "\n" for line in lines(pieces, name))
    try:
        for number, row in enumerate(rows, 1):
            yield f"{name}, record {number}", row
    except csv.Error as error:
        raise DataError(
            f"{name}, line {rows.line_num}: expected CSV, but {error}; mend its quotes"
        ) from error


RECORD_FORMATS: dict[str, Callable[[Iterator[str], str], Records]] = {
    ".jsonl": jsonl_records,
    ".json": json_records,
    ".csv": csv_records,
}


def record_texts(records: Records, text_field: str | None) -> Iterator[tuple[str, str]]:
    """Yield where each record stands, and its text: itself if a string, else its `text_field`.

    Without `text_field`, the first record decides: its only string, or the one named "text".
    Raises `DataError` that names the record and its fields.
    """
    for label, record in records:
        if isinstance(record, str):
            yield label, clean(record, label)
            continue
        if not isinstance(record, dict):
            kind = type(record).__name__
            raise DataError(f"{label}: expected a record or a string, but found a value ({kind})")
        if text_field is None:
            strings = [field for field, value in record.items() if isinstance(value, str)]
            text_field = choose_field(strings, record, label)
        text = record.get(text_field)
        if not isinstance(text, str):
            raise _no_text(label, text_field, record)
        yield label, clean(text, label)


def choose_field(strings: list[str], fields: Iterable[str], label: str) -> str:
    """Return the only field that holds strings, or "text"; else raise `DataError`."""
    if len(strings) == 1:
        return strings[0]
    if "text" in strings:
        return "text"
    raise DataError(
        f"{label}: which field is the text? expected one string or a field 'text', but found "
        f"{_listed(fields)}; choose with --text-field"
    )


def _no_text(label: str, text_field: str, record: Iterable[str]) -> DataError:
    return DataError(
        f"{label}: expected a string in the field '{text_field}', but found {_listed(record)}; "
        "choose another with --text-field, or mend the record"
    )


def _listed(fields: Iterable[str]) -> str:
    """Name the fields, with their types where they are a record's."""
    if not isinstance(fields, dict):
        return ", ".join(fields) or "no fields"
    typed = (f"{field} ({type(value).__name__})" for field, value in fields.items())
    return ", ".join(typed) or "no fields"


def clean(text: str, label: str) -> str:
    """Return a record's text with plain newlines; a NUL or half a surrogate is a `DataError`."""
    if "\0" in text:
        raise DataError(f"{label}: a NUL at character {text.index(chr(0))}; expected text")
    try:
        if not text.isascii():
            text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"{label}: half of a surrogate pair (\\u{ord(text[error.start]):04x}) at character "
            f"{error.start}, which no text can hold; mend or remove the record"
        ) from error
    return plain_newlines(text)


def parquet_texts(path: StoredFile, text_field: str | None, size: int) -> Iterator[tuple[str, str]]:
    """Yield where each record of a Parquet file stands, and its text, reading only that column."""
    parquet = optional("pyarrow.parquet", "parquet", str(path))
    failures = (optional("pyarrow", "parquet", str(path)).ArrowException, OSError, UnicodeError)
    with seekable(path, size) as plain:
        try:
            with parquet.ParquetFile(plain, buffer_size=size) as file:
                yield from _column_texts(file, str(path), text_field)
        except failures as error:
            reason = str(error).strip().split("\n")[0].rstrip(".")
            raise DataError(
                f"{path}: expected a Parquet file, but {reason}; fetch or write it again"
            ) from error


def _column_texts(file: Any, name: str, text_field: str | None) -> Iterator[tuple[str, str]]:
    columns = {field.name: str(field.type) for field in file.schema_arrow}
    if text_field is None:
        strings = [column for column, kind in columns.items() if "string" in kind]
        text_field = choose_field(strings, list(columns), name)
    if text_field not in columns:
        raise _no_text(name, text_field, list(columns))
    batches = file.iter_batches(batch_size=64, columns=[text_field])
    texts = (text for batch in batches for text in batch.column(0).to_pylist())
    for number, text in enumerate(texts, 1):
        label = f"{name}, record {number}"
        if not isinstance(text, str):
            raise _no_text(label, text_field, {text_field: text})
        yield label, clean(text, label)
