"""Files of records (JSON Lines, JSON, CSV, TSV, Parquet) as texts: which reader an ending takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from groundup.base.errors import DataError
from groundup.data.compressed import StoredFile, byte_pieces
from groundup.data.csv_files import csv_records, tsv_records
from groundup.data.json_files import json_records, jsonl_records
from groundup.data.parquet_files import parquet_records, parquet_texts
from groundup.data.streams import text_pieces
from groundup.data.text_fields import Records
from groundup.data.texts import Reading, Texts, chosen_texts

PARQUET = ".parquet"
TEXT_FORMATS: dict[str, Callable[[Iterator[str], str, Reading], Records]] = {
    ".jsonl": jsonl_records,
    ".ndjson": jsonl_records,
    ".json": json_records,
    ".csv": csv_records,
    ".tsv": tsv_records,
}
RECORD_FORMATS = (*TEXT_FORMATS, PARQUET)


def file_texts(path: StoredFile, kind: str, reading: Reading, encoding: str, size: int) -> Texts:
    """Yield where each record of a file stands, and its text, reading about `size` bytes at once.

    `kind` is one of `RECORD_FORMATS`.
    """
    if kind == PARQUET:
        return parquet_texts(path, reading, size)
    pieces = text_pieces(byte_pieces(path, size), str(path), encoding)
    return chosen_texts(TEXT_FORMATS[kind](pieces, str(path), reading), str(path), reading)


def stored_records(
    path: StoredFile, kind: str, reading: Reading, encoding: str = "utf-8"
) -> Records:
    """Yield where each record of a file stands, and the whole record; `kind` as in `file_texts`.

    In the place of one that is broken stands a `DataError`.
    """
    if kind == PARQUET:
        return parquet_records(path)
    pieces = text_pieces(byte_pieces(path), str(path), encoding)
    return TEXT_FORMATS[kind](pieces, str(path), reading)


def file_records(path: Path, kind: str) -> Records:
    """Yield where each record of a file stands, and the whole record; `kind` as in `file_texts`.

    One that is broken is a `DataError`.
    """
    for label, record in stored_records(path, kind, Reading()):
        if isinstance(record, DataError):
            raise record
        yield label, record
