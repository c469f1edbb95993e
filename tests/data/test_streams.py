"""Bytes to text to lines, a piece at a time: encodings, newlines, compressions, memory."""

from __future__ import annotations

import bz2
import gzip
import itertools
import json
import lzma
import os
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from groundup.base.errors import DataError, UsageError
from groundup.data import compressed
from groundup.data.compressed import byte_pieces
from groundup.data.documents import read_documents
from groundup.data.streams import lines, text_pieces
from tests.data.reading import (
    MEBI,
    PACKERS,
    jsonl_bytes,
    message,
    plain,
    read,
)

PACKED = pytest.mark.parametrize(
    ("packing", "pack"), PACKERS[1:], ids=[name for name, _ in PACKERS[1:]]
)
any_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


class TestDecoding:
    @given(text=any_text, size=st.integers(1, 7))
    @example(text="\ufeff\ufeff\r\r\n\r", size=1)
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-32"])
    def test_equals_decoding_at_once(self, text: str, size: int, encoding: str) -> None:
        raw = text.encode(encoding)
        pieces = (raw[i : i + size] for i in range(0, len(raw), size))
        decoded = list(text_pieces(pieces, "x", encoding))
        assert "".join(decoded) == plain(raw.decode(encoding).removeprefix("\ufeff"))
        assert all(decoded)

    @given(
        before=st.text("aé😀\n", min_size=1, max_size=12),
        after=st.binary(max_size=4),
        size=st.integers(1, 7),
    )
    def test_bad_byte_is_named_with_its_offset(self, before: str, after: bytes, size: int) -> None:
        raw = before.encode() + b"\xff" + after
        with pytest.raises(DataError, match=f"^x: byte 0xff at offset {len(before.encode())} is"):
            list(text_pieces((raw[i : i + size] for i in range(0, len(raw), size)), "x"))

    def test_bad_byte_says_what_to_do(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        path.write_bytes("café".encode("latin-1"))
        error = message(path)
        assert error.startswith(f"{path}: byte 0xe9 at offset 3 is not utf-8")
        assert "--encoding latin-1" in error
        assert "iconv" in error
        assert read(path, encoding="latin-1") == ["café"]

    def test_character_cut_at_the_end(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes("ab€".encode()[:-1])
        assert "byte 0xe2 at offset 2" in message(tmp_path)

    @pytest.mark.parametrize("size", [1, 2, 3, 100])
    def test_nul(self, tmp_path: Path, size: int) -> None:
        (tmp_path / "a.txt").write_bytes("aé€\0b".encode())
        error = message(tmp_path, chunk_size=size)
        assert "looks like a binary file (a NUL at offset 6)" in error

    @pytest.mark.parametrize("encoding", ["utf-9", "hex", "rot13"])
    def test_unknown_encoding(self, tmp_path: Path, encoding: str) -> None:
        (tmp_path / "a.txt").write_text("x")
        assert f"unknown encoding '{encoding}'" in message(
            tmp_path, encoding=encoding, kind=UsageError
        )

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
    @pytest.mark.parametrize("order", ["le", "be"])
    def test_wide_text_is_known_by_its_mark(
        self, tmp_path: Path, encoding: str, order: str
    ) -> None:
        (tmp_path / "a.txt").write_bytes("\ufeffé€\r😀".encode(f"{encoding}-{order}"))
        for size in (4, 5, 100):
            assert read(tmp_path, chunk_size=size) == ["é€\n😀"]
            assert read(tmp_path, chunk_size=size, encoding="UTF8") == ["é€\n😀"]

    def test_utf_16_without_a_mark(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes("text".encode("utf-16-le"))
        assert "BOM" in message(tmp_path, encoding="utf-16")
        assert "utf-16" in message(tmp_path)
        assert read(tmp_path, encoding="utf-16-le") == ["text"]


class TestUnusable:
    @pytest.mark.parametrize("text", ["x" * 101, "é" * 51, "😀" * 26])
    def test_limit_counts_bytes(self, text: str) -> None:
        for size in (7, 1000):
            pieces = [text[i : i + size] for i in range(0, len(text), size)]
            assert list(lines([*pieces, "\n"], "x", limit=len(text.encode()))) == [text]
            with pytest.raises(DataError, match="x, line 1"):
                list(lines([*pieces, "\n"], "x", limit=100))

    @PACKED
    @pytest.mark.parametrize("ending", [".txt", ".jsonl"])
    @pytest.mark.parametrize("keep", [3, 20, -1, -9])
    def test_cut_short(
        self, tmp_path: Path, packing: str, pack: Callable[[bytes], bytes], ending: str, keep: int
    ) -> None:
        path = tmp_path / f"a{ending}{packing}"
        path.write_bytes(pack(os.urandom(3000).hex().encode())[:keep])
        assert message(path).startswith(f"{path}: cut short (it ends in the middle)")

    @pytest.mark.parametrize(("packing", "pack"), [PACKERS[1], *PACKERS[3:]])
    def test_damaged(self, tmp_path: Path, packing: str, pack: Callable[[bytes], bytes]) -> None:
        raw = bytearray(pack(os.urandom(3000).hex().encode()))
        raw[len(raw) // 2] ^= 0xFF
        (tmp_path / f"a.txt{packing}").write_bytes(raw)
        assert f"a.txt{packing}: damaged (" in message(tmp_path)

    @pytest.mark.parametrize("packing", [name for name, _ in PACKERS[1:]])
    @pytest.mark.parametrize(
        ("content", "what"),
        [(b"plain words", "plain text"), (b"w", "plain text"), (b"%PDF-1.7\n", "a PDF")],
    )
    def test_not_packed_as_its_ending_says(
        self, tmp_path: Path, packing: str, content: bytes, what: str
    ) -> None:
        (tmp_path / f"a.txt{packing}").write_bytes(content)
        assert f"though it ends in {packing}, but {what}; rename it" in message(tmp_path)

    def test_packed_though_its_ending_does_not_say_so(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes(gzip.compress(b"words"))
        assert "a.txt: packed with gzip, not text; unpack it" in message(tmp_path)

    @pytest.mark.parametrize(
        ("name", "package", "extra"),
        [("a.parquet", "pyarrow", "parquet"), ("a.txt.zst", "zstandard", "zstd")],
    )
    def test_package_not_installed(
        self,
        tmp_path: Path,
        name: str,
        package: str,
        extra: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        (tmp_path / name).write_bytes(b"x")
        for module in (package, f"{package}.parquet"):
            monkeypatch.setitem(sys.modules, module, None)
        error = message(tmp_path)
        assert f"needs the package {package}, which is not installed" in error
        assert f"pip install 'groundup[{extra}]'" in error

    def test_members_and_frames_are_joined(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"one ") + gzip.compress(b"two"))
        frames = zstandard.compress(b"three ") + zstandard.compress(b"four")
        (tmp_path / "b.txt.zst").write_bytes(frames)
        (tmp_path / "c.txt.bz2").write_bytes(bz2.compress(b"five ") + bz2.compress(b"six"))
        (tmp_path / "d.txt.xz").write_bytes(lzma.compress(b"seven ") + lzma.compress(b"eight"))
        expected = ["one two", "three four", "five six", "seven eight"]
        for size in (1, 7, MEBI):
            assert read(tmp_path, chunk_size=size) == expected

    @PACKED
    @pytest.mark.parametrize("size", [3, MEBI])
    def test_what_follows_the_end(
        self, tmp_path: Path, packing: str, pack: Callable[[bytes], bytes], size: int
    ) -> None:
        path = tmp_path / f"a.txt{packing}"
        path.write_bytes(pack(b"one ") + bytes(5) + pack(b"two") + bytes(1000))
        assert read(path, chunk_size=size) == ["one two"], "zeros fill a block"
        whole = pack(b"words")
        path.write_bytes(whole + b"<html>and something else")
        error = message(path, chunk_size=size)
        assert f"a.txt{packing}: what follows byte " in error
        assert f"head -c {len(whole)}" in error


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture
def unbounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file unpack to whatever it does."""
    monkeypatch.setattr(compressed, "FREELY", 1 << 40)


class TestBounds:
    """Memory stays small however long the text: peaks as Python counts them, in MiB."""

    def peak(self, *sources: object, **options: Any) -> tuple[int, float]:
        tracemalloc.start()
        try:
            size = sum(
                len(chunk)
                for document in read_documents([*map(str, sources)], **options)
                for chunk in document.chunks
            )
            return size, tracemalloc.get_traced_memory()[1] / MEBI
        finally:
            tracemalloc.stop()

    @pytest.mark.usefixtures("unbounded")
    @pytest.mark.parametrize(("packing", "pack"), PACKERS[:3], ids=["-", ".gz", ".zst"])
    @pytest.mark.parametrize("split_on", [None, "<|endoftext|>"])
    def test_one_long_line(
        self, tmp_path: Path, packing: str, pack: Callable[[bytes], bytes], split_on: str | None
    ) -> None:
        path = tmp_path / f"a.txt{packing}"
        path.write_bytes(pack(b"word " * (32 * MEBI // 5)))
        size, peak = self.peak(path, split_on=split_on)
        assert size == 32 * MEBI // 5 * 5
        assert peak < (72 if packing == ".zst" else 12)

    def test_many_records(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_bytes(jsonl_bytes(["word " * 20]) * 40_000)
        size, peak = self.peak(tmp_path)
        assert size == 40_000 * 100
        assert peak < 10

    def test_pieces_of_a_long_record(self, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text(json.dumps(["x" * (5 * MEBI // 2)]))
        (document,) = read_documents([str(tmp_path)])
        assert [len(chunk) for chunk in document.chunks] == [MEBI, MEBI, MEBI // 2]

    def test_a_file_is_closed_when_left_early(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("x" * 100)
        before = open_files()
        pieces = byte_pieces(tmp_path / "a.txt", 10)
        next(pieces)
        assert open_files() == before + 1
        del pieces
        assert open_files() == before


@pytest.mark.usefixtures("unbounded")
def test_zstd_bombs_unfold_in_steps(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.zst"
    path.write_bytes(zstandard.compress(b"a" * (256 * MEBI), 19))
    assert path.stat().st_size < 64 << 10
    assert max(map(len, byte_pieces(path))) <= compressed.ZSTD_STEP // 4 * (128 << 10)


@pytest.mark.usefixtures("unbounded")
@pytest.mark.parametrize(("packing", "pack"), [PACKERS[1], *PACKERS[3:]])
def test_bombs_unfold_a_piece_at_a_time(
    tmp_path: Path, packing: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"a.txt{packing}"
    path.write_bytes(pack(b"a" * (64 * MEBI)))
    assert path.stat().st_size < 80 << 10
    tracemalloc.start()
    try:
        sizes = [len(piece) for piece in itertools.islice(byte_pieces(path), 20)]
        assert tracemalloc.get_traced_memory()[1] / MEBI < 16  # of which xz takes 8 to look back
    finally:
        tracemalloc.stop()
    assert max(sizes) <= MEBI
