"""What the tests of reading share: short ways to read, and a writer for each format."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from groundup.base.errors import DataError, GroundupError
from groundup.data.documents import read_documents

Texts = list[str]
MEBI = 1 << 20


def read(*sources: object, **options: Any) -> Texts:
    return [document.text() for document in read_documents([*map(str, sources)], **options)]


def names(*sources: object, **options: Any) -> Texts:
    return [document.name for document in read_documents([*map(str, sources)], **options)]


def message(*sources: object, kind: type[GroundupError] = DataError, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        read(*sources, **options)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)


def plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def text_bytes(records: Texts) -> bytes:
    return "".join(records).encode()


def jsonl_bytes(records: Texts) -> bytes:
    return b"".join(json.dumps({"id": 1, "text": text}).encode() + b"\n" for text in records)


def raw_jsonl_bytes(records: Texts) -> bytes:
    return "\r\n".join(json.dumps(text, ensure_ascii=False) for text in records).encode()


def json_bytes(records: Texts) -> bytes:
    return json.dumps([{"text": text} for text in records], ensure_ascii=False).encode()


def csv_bytes(records: Texts) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(["id", "text"])
    writer.writerows(enumerate(records))
    return file.getvalue().encode()


def parquet_bytes(records: Texts) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": range(len(records)), "text": records}), sink)
    return bytes(sink.getvalue())


WRITERS: list[tuple[str, Callable[[Texts], bytes]]] = [
    (".txt", text_bytes),
    (".md", text_bytes),
    (".jsonl", jsonl_bytes),
    (".jsonl", raw_jsonl_bytes),
    (".json", json_bytes),
    (".csv", csv_bytes),
    (".parquet", parquet_bytes),
]
PACKERS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("", bytes),
    (".gz", gzip.compress),
    (".zst", zstandard.compress),
    (".bz2", bz2.compress),
    (".xz", lzma.compress),
]
