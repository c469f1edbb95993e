"""Records in Parquet: the rows of its columns, of which only the text is read."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator
from typing import IO, Any

from groundup.base.errors import DataError
from groundup.data.compressed import StoredFile, not_as_named, seekable
from groundup.data.kinds import HEAD, kind_of
from groundup.data.streams import CHUNK_SIZE, optional
from groundup.data.text_fields import Field, Records, Survey, choose_field
from groundup.data.texts import Reading, Texts, texts_of

TWICE = "the same name twice"
HOLDS_TEXT = re.compile("string|binary")
UNREADABLE = re.compile(f"time|duration|map<|union|{TWICE}")  # as Python values


def parquet_texts(path: StoredFile, reading: Reading, size: int) -> Texts:
    """Yield where each record of a Parquet file stands, and its text, reading only that column."""
    with _opened(path, size) as file:
        yield from _column_texts(file, str(path), reading)


def parquet_records(path: StoredFile) -> Records:
    """Yield where each record of a Parquet file stands, and the record.

    Without the columns that have no values in Python, such as times in nanoseconds.
    """
    with _opened(path, CHUNK_SIZE) as file:
        columns = _readable(file, _kinds(file.schema_arrow))
        yield from _parquet_rows(file, str(path), columns)


@contextlib.contextmanager
def _opened(path: StoredFile, size: int) -> Iterator[Any]:
    """Yield a Parquet file; what is wrong with it, then or while it is read, is a `DataError`."""
    parquet = optional("pyarrow.parquet", "parquet", str(path))
    failures = (optional("pyarrow", "parquet", str(path)).ArrowException, OSError, UnicodeError)
    with seekable(path, size) as plain:
        _check_magic(path, plain)
        try:
            with parquet.ParquetFile(plain, buffer_size=size) as file:
                yield file
        except failures as error:
            reason = str(error).strip().split("\n")[0].rstrip(".")
            raise DataError(
                f"{path}: expected a Parquet file, but {reason}; fetch or write it again"
            ) from error


def _check_magic(path: StoredFile, plain: IO[bytes]) -> None:
    """Raise `DataError` for something else of this ending, such as an error page."""
    head = plain.read(HEAD)
    plain.seek(0)
    if not head or head.startswith(b"PAR"):
        return
    if kind := kind_of(head):
        raise DataError(f"{path}: {kind.what}, not Parquet; {kind.remedy}")
    raise not_as_named(path, "Parquet", head)


def _column_texts(file: Any, name: str, reading: Reading) -> Texts:
    """Look at the column called so first, and at the others only where that has no text."""
    kinds = _kinds(file.schema_arrow)
    field = reading.text_field or "text"
    survey = Survey()
    if HOLDS_TEXT.search(kinds.get(field, "")):
        survey.add_until(_parquet_rows(file, name, [field]), field)
    if not survey.has_text(field):
        readable = _readable(file, kinds)
        survey = Survey()
        survey.add_until(_parquet_rows(file, name, readable), field)
        for column in (c for c in file.schema_arrow.names if c not in readable):
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


def _readable(file: Any, kinds: dict[str, str]) -> list[str]:
    return [c for c in dict.fromkeys(file.schema_arrow.names) if not UNREADABLE.search(kinds[c])]


def _parquet_rows(file: Any, name: str, columns: list[str]) -> Records:
    batches = file.iter_batches(batch_size=64, columns=columns)
    rows = itertools.chain.from_iterable(batch.to_pylist() for batch in batches)
    for number, row in enumerate(rows, 1):
        yield f"{name}, record {number}", row
