"""Zip archives as folders of their members: what is read, what is told, what is refused."""

from __future__ import annotations

import bz2
import gzip
import io
import zipfile
from pathlib import Path

import pytest

from groundup.base.errors import DataError, UsageError
from groundup.data import compressed
from groundup.data.compressed import zip_members
from groundup.data.reading_log import ReadingLog
from tests.data.reading import csv_bytes, jsonl_bytes, message, names, parquet_bytes, read


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_members_go_the_way_of_their_endings(tmp_path: Path) -> None:
    members = {
        "b/two.jsonl": jsonl_bytes(["two", "three"]),
        "a.txt": b"one\r\n",
        "c.csv.gz": gzip.compress(csv_bytes(["four"])),
        "d.parquet": parquet_bytes(["five"]),
        "e.txt.bz2": bz2.compress(b"six"),
    }
    path = zipped(tmp_path / "z.zip", members)
    assert read(path) == ["one\n", "two", "three", "four", "five", "six"]
    assert names(path)[:2] == [f"{path}/a.txt", f"{path}/b/two.jsonl, line 1"]
    (tmp_path / "a.txt").write_text("zero")
    assert read(tmp_path, chunk_size=2) == ["zero", *read(path)]


def test_an_archive_tells_what_it_skips(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner", {"x.txt": b"x"}).read_bytes()
    members = {
        "a.txt": b"one",
        "b.py": b"two",
        "c.png": b"",
        "d.zip": inner,
        "__MACOSX/._a.txt": b"x",
        "../../out.txt": b"out",
    }
    path = zipped(tmp_path / "z.zip", members)
    log = ReadingLog()
    assert read(path, log=log) == ["one"]
    assert log.lines() == [f"{path}: skipped 5: 2 hidden files, 1 .png, 1 .py, 1 .zip"]
    assert read(path, include=["*.py"]) == ["one", "two"]
    assert "--include '*.rs': no file" in message(path, include=["*.rs"], kind=UsageError)


def test_an_archive_without_text(tmp_path: Path) -> None:
    path = zipped(tmp_path / "z.zip", {"a.py": b"x"})
    assert message(path) == f"{path}: empty; expected some text ({path}: skipped 1: 1 .py)"


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"plain words", "but plain text; rename it"), (b"%PDF-1.4\n", "but a PDF; rename it")],
)
def test_no_archive(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "z.zip").write_bytes(content)
    assert f"z.zip: not zip though it ends in .zip, {expected}" in message(tmp_path)


def test_cut_short_and_damaged(tmp_path: Path) -> None:
    path = zipped(tmp_path / "z.zip", {"a.txt": b"some words " * 50}, zipfile.ZIP_STORED)
    raw = bytearray(path.read_bytes())
    path.write_bytes(raw[:-30])
    assert "z.zip: damaged (or cut short: " in message(path)
    raw[100] ^= 1
    path.write_bytes(raw)
    assert "z.zip/a.txt: damaged (Bad CRC-32" in message(path)


def test_without_its_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "words")
    path.write_bytes(path.read_bytes()[10:])
    assert "z.zip/a.txt: damaged (" in message(path)


def test_encrypted_member_is_named(tmp_path: Path) -> None:
    path = zipped(tmp_path / "z.zip", {"a.txt": b"some words"}, zipfile.ZIP_STORED)
    raw = path.read_bytes()
    local, central = raw.index(b"PK\3\4"), raw.index(b"PK\1\2")
    flagged = bytearray(raw)
    flagged[local + 6] |= 1
    flagged[central + 8] |= 1
    path.write_bytes(flagged)
    assert "z.zip/a.txt: encrypted; unpack the archive" in message(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_without_bounds_are_refused(tmp_path: Path, method: int) -> None:
    path = zipped(tmp_path / "z.zip", {"a.txt": b"some words"}, method)
    assert "z.zip/a.txt: packed in an unusual way" in message(path)


def test_a_size_that_lies_is_no_text(tmp_path: Path) -> None:
    path = zipped(tmp_path / "z.zip", {"a.txt": b"a" * 5000})
    raw = bytearray(path.read_bytes())
    central = raw.index(b"PK\1\2")
    raw[central + 24 : central + 28] = (50).to_bytes(4, "little")
    path.write_bytes(raw)
    assert "z.zip/a.txt: damaged (Bad CRC-32" in message(path)


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "z.zip", {"a.txt": b"words " * 9, "b.txt": b""}, zipfile.ZIP_STORED)
    raw = bytearray(path.read_bytes())
    second = raw.rindex(b"PK\1\2")
    raw[second + 20 : second + 24] = (1 << 20).to_bytes(4, "little")
    path.write_bytes(raw)
    assert "larger than the archive" in message(path)


def test_what_is_read_whole_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "LARGEST_RECORD", 99)
    path = zipped(tmp_path / "z.zip", {"a": b"a" * 99, "b": b"b" * 100})
    with zip_members(path) as members:
        assert members["a"].read() == b"a" * 99
        with pytest.raises(DataError, match=r"z\.zip/b: over"):
            members["b"].read()


def test_a_damaged_archive_may_be_in_any_wrapping(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "one")
    (tmp_path / "z.zip.gz").write_bytes(gzip.compress(file.getvalue()))
    assert read(tmp_path) == ["one"]


def test_what_unpacks_far_beyond_any_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "FREELY", 1 << 20)
    zeros = b"a" * (8 << 20)
    for name, compress in (("a.txt.gz", gzip.compress), ("a.txt.bz2", bz2.compress)):
        (tmp_path / name).write_bytes(compress(zeros))
        assert f"{name}: unpacks to more than 200 times its size" in message(tmp_path / name)
    one = zipped(tmp_path / "one.zip", {"a.txt": zeros})
    assert "one.zip/a.txt: unpacks to more than 200 times" in message(one)
    two = zipped(tmp_path / "two.zip", {"a.txt.gz": gzip.compress(zeros)}, zipfile.ZIP_STORED)
    assert "two.zip/a.txt.gz: unpacks to more than 200 times" in message(two)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(zeros[: 1 << 20]))
    assert len("".join(read(tmp_path / "b.txt.gz"))) == 1 << 20


def test_zeros_behind_a_frame_come_to_an_end(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"text") + bytes(1 << 20))
    assert read(path) == ["text"]
    with path.open("ab") as file:
        file.truncate(100 << 30)
    assert "nothing but zeros from byte" in message(path)
