"""What is no text is called what it is, whatever its ending says."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from groundup.data.kinds import kind_of
from tests.data.preparing import WORDS
from tests.data.reading import message, read


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("a.txt")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"words"))
    return file.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


def saved_array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.arange(9))
    return file.getvalue()


def safetensors() -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)


KINDS = [
    (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "a PDF", "pdftotext"),
    (tar(), "packed as tar", "tar -xf"),
    (b"7z\xbc\xaf\x27\x1c\0\4", "packed as 7z", "unpack it"),
    (b"Rar!\x1a\x07\1\0", "packed as rar", "unpack it"),
    (gzip.compress(b"x"), "packed with gzip", "unpack it"),
    (zipped("a.txt", b"x"), "packed as zip", "unpack it"),
    (zipped("mimetype", b"application/vnd.oasis.opendocument.text"), "an OpenDoc", "plain text"),
    (zipped("mimetype", b"application/epub+zip"), "an EPUB book", "end in .epub"),
    (zipped("[Content_Types].xml", b""), "an Office file", ".docx"),
    (zipped("model/data.pkl", b""), "a PyTorch checkpoint", "only text"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", "an old Office file", "plain text"),
    (b"{\\rtf1\\ansi words}", "rich text", "plain text"),
    (b"\x89PNG\r\n\x1a\n\0\0", "an image", "leave it out"),
    (b"\xff\xd8\xff\xe0\0\x10JFIF", "an image", "leave it out"),
    (b"RIFF\x24\0\0\0WAVEfmt ", "a sound", "leave it out"),
    (b"\0\0\0\x20ftypisom", "a video", "leave it out"),
    (b"\x7fELF\2\1\1", "a program", "leave it out"),
    (b"version https://git-lfs.github.com/spec/v1\noid x\n", "a Git LFS pointer", "git lfs pull"),
    (b"SQLite format 3\0", "an SQLite database", ".jsonl"),
    (b"GGUF\3\0\0\0", "a model", "groundup import"),
    (safetensors(), "tensors", "leave it out"),
    (saved_array(), "arrays of numbers", "leave it out"),
    *((pickle.dumps({"a": 1}, n), "a Python pickle", ".jsonl") for n in (2, 4, 5)),
    (pickle.dumps(["a"], 4), "a Python pickle", ".jsonl"),
]


@pytest.mark.parametrize(("content", "what", "remedy"), KINDS, ids=[what for _, what, _ in KINDS])
@pytest.mark.parametrize("name", ["a.txt", "a.bin", "a.txt.gz", "a.jsonl"])
def test_it_is_named_and_never_advised_another_encoding(
    tmp_path: Path, content: bytes, what: str, remedy: str, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    error = message(path)
    assert error.startswith(f"{path}: {what}")
    assert remedy in error
    assert "--encoding" not in error


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("begin", [b"", b"words "])
def test_noise_is_binary(tmp_path: Path, seed: int, begin: bytes) -> None:
    noise = np.random.default_rng(seed).bytes(2000)
    (tmp_path / "a.txt").write_bytes(begin + noise)
    error = message(tmp_path)
    assert "looks like a binary file" in error
    assert "latin-1" not in error


@pytest.mark.parametrize("text", ["été à la forêt\n" * 50, "ÿþ", "naïve\f\x1a"])
def test_latin_1_is_advised_for_text(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_bytes(b"-" + text.encode("latin-1"))
    assert "--encoding latin-1" in message(tmp_path)


@pytest.mark.parametrize(
    ("text", "encoding", "advised"),
    [
        ("“naïve” – he said", "cp1252", "cp1252"),
        ("昔々ある所にお爺さんとお婆さん" * 5, "shift_jis", "NAME"),
        ("从前有一条河，河边有一座山" * 5, "gb18030", "NAME"),
        ("Жили-были дед да баба. " * 5, "cp1251", "NAME"),
    ],
)
def test_no_encoding_is_advised_that_would_make_nonsense(
    tmp_path: Path, text: str, encoding: str, advised: str
) -> None:
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    assert f"--encoding {advised}, or" in message(tmp_path)
    if advised != "NAME":
        assert read(tmp_path, encoding=advised) == [text]


@pytest.mark.parametrize("bad", [b"\xff", b"\x93", b"\xed\xa0\x80"])
def test_utf_8_with_a_few_other_bytes(tmp_path: Path, bad: bytes) -> None:
    (tmp_path / "a.txt").write_bytes("Größe und Straße, schön ".encode() + bad + "für".encode())
    error = message(tmp_path)
    assert "is not utf-8; the rest is: remove such bytes, as with iconv -c" in error
    assert "--encoding" not in error


@pytest.mark.parametrize("order", ["<", ">"])
def test_token_ids_are_no_utf_16(tmp_path: Path, order: str) -> None:
    ids = np.random.default_rng(0).integers(0, 65, 2000)
    (tmp_path / "train.txt").write_bytes(ids.astype(f"{order}u2").tobytes())
    error = message(tmp_path)
    assert "looks like a binary file" in error
    assert "--encoding" not in error


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["plain words and more", "les forêts de l'été et là"])
def test_utf_16_without_a_mark_is_recognised(tmp_path: Path, encoding: str, text: str) -> None:
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    assert f"--encoding {encoding}" in message(tmp_path)
    assert read(tmp_path, encoding=encoding) == [text]


@pytest.mark.parametrize(
    "text",
    [WORDS, "BZh is a magic", "PK", "RIFF", "PAR1 is Paris", "GGUF is a format", "MZ", "%PDF",
     "7z", "ID3 tags", "{\\r", "OggS", "the ftyp", "RIFF or WAVE",
     "-" * 257 + "ustar is tar", "AT&T", "<?xml version='1.0'?>"],
)  # fmt: skip
def test_text_is_text(text: str) -> None:
    assert kind_of(text.encode()) is None
