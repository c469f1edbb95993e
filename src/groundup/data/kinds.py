"""What a file is by its first bytes, where it is no text, and what to do about it."""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

HEAD = 512
"""Bytes that tell what a file is; a tar archive says so at byte 257."""


class Kind(NamedTuple):
    """What something is, in words, and what its owner can do."""

    what: str
    remedy: str


UNPACK = "unpack it and name what was inside, or give it the ending of what it is"
CONVERT = "save it as plain text, and give that"
LEAVE = "leave it out; only text can be read"

_ZIPS = (  # what a zip archive starts with tells what it is used for
    (b"mimetypeapplication/epub", "an EPUB book", "rename it to end in .epub"),
    (b"mimetypeapplication/vnd.oasis", "an OpenDocument file", CONVERT),
    (
        b"[Content_Types].xml",
        "an Office file",
        "save it as .docx or plain text, a table as .csv, and give that",
    ),
    (b"/data.pkl", "a PyTorch checkpoint", LEAVE),
    (b".npy", "NumPy arrays", LEAVE),
)
_KINDS = (
    (rb"\x1f\x8b\x08", "packed with gzip", UNPACK),
    (rb"BZh[1-9]1AY&SY", "packed with bzip2", UNPACK),
    (rb"\xfd7zXZ\0", "packed with xz", UNPACK),
    (rb"\x28\xb5\x2f\xfd", "packed with zstd", UNPACK),
    (rb"PK(\x03\x04|\x05\x06)", "packed as zip", UNPACK),
    (rb".{257}ustar(\0|  \0)", "packed as tar", "unpack it with tar -xf and name the folder"),
    (rb"7z\xbc\xaf\x27\x1c", "packed as 7z", "unpack it with 7z x and name the folder"),
    (rb"Rar!\x1a\x07", "packed as rar", "unpack it with unrar x and name the folder"),
    (rb"%PDF-\d", "a PDF", "convert it, as with pdftotext, and give the text"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file (such as .doc)", CONVERT),
    (rb"\{\\rtf", "rich text (RTF)", CONVERT),
    (rb"AT&TFORM", "a DjVu file", "convert it, as with djvutxt, and give the text"),
    (rb".{60}BOOKMOBI", "a Kindle book", "convert it, as with ebook-convert, and give the text"),
    (rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|II\*\0|MM\0\*|RIFF.{3}[\0-\x1f]WEBP", "an image", LEAVE),
    (rb"RIFF.{3}[\0-\x1f]WAVE|ID3[\2-\4]\0|OggS\0|fLaC\0|\xff[\xfb\xf3]", "a sound", LEAVE),
    (rb"RIFF.{3}[\0-\x1f]AVI |\0.{3}ftyp|\x1a\x45\xdf\xa3", "a video", LEAVE),
    (rb"\x7fELF|MZ\x90\0|\xca\xfe\xba\xbe|\xcf\xfa\xed\xfe", "a program", LEAVE),
    (rb"version https://git-lfs\.", "a Git LFS pointer", "fetch what it points to: git lfs pull"),
    (rb"SQLite format 3\0", "an SQLite database", "export its texts, as .csv or .jsonl"),
    (rb"PAR1[\x15-\x1f]", "a Parquet file", "rename it to end in .parquet"),
    (rb"ARROW1\0\0|\xff{4}.{3}\0", "an Arrow file", "write it as .parquet or .jsonl"),
    (rb"GGUF[\1-\x0f]\0\0\0", "a model (GGUF)", "import it with groundup import"),
    (rb".{5}\0{3}\{\s*\"", "tensors (safetensors)", LEAVE),
    (rb"\x93NUMPY|\x89HDF\r\n", "arrays of numbers", LEAVE),
    (rb"\x80[\2-\5](\x95|[}\](cX])", "a Python pickle", "write its texts as .jsonl"),
)
_PATTERNS = [(re.compile(magic, re.DOTALL), Kind(*kind)) for magic, *kind in _KINDS]
_LOOKS = {
    "JSON": re.compile(r'\s*(?:\{\s*"[^"\n]*"\s*:|\[\s*\{\s*")'),
    "a web page": re.compile(r"\s*<(?:!doctype html|html)\b", re.IGNORECASE),
}
_WIDE = {  # the longer marks first: one begins like another
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_HIGH, _C1 = bytes(range(128, 256)), bytes(range(128, 160))
_NO_CP1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
_CONTROLS = bytes({*range(32), 127} - set(b"\t\n\v\f\r\b\x1a\x1b"))


def kind_of(head: bytes) -> Kind | None:
    """Return what a file is that begins with `head`, None where it may be text."""
    for pattern, kind in _PATTERNS:
        if pattern.match(head):
            if head.startswith(b"PK"):
                return next((Kind(w, r) for mark, w, r in _ZIPS if mark in head[:HEAD]), kind)
            return kind
    return None


def looks_like(text: str) -> str | None:
    """Return "JSON" or "a web page" where `text` begins like one, None where like plain text."""
    return next((what for what, begins in _LOOKS.items() if begins.match(text)), None)


def wide_encoding(head: bytes) -> str | None:
    """Return "utf-16" or "utf-32" where `head` begins with the byte-order mark of one."""
    return next((name for mark, name in _WIDE.items() if head.startswith(mark)), None)


def unmarked_utf_16(piece: bytes) -> str | None:
    """Return "utf-16-le" or "utf-16-be" where every other byte of `piece` is mostly a NUL."""
    if len(piece) < 8:
        return None
    pairs = len(piece) // 2
    low, high = piece[0::2].count(0) / pairs, piece[1::2].count(0) / pairs
    letters = (piece[0::2] if high > low else piece[1::2]).replace(b"\0", b"")
    if min(low, high) < 0.05 and max(low, high) > 0.4 and not is_binary(letters):
        return "utf-16-le" if high > low else "utf-16-be"
    return None


def mostly_utf_8(piece: bytes) -> bool:
    """Whether more characters of `piece` beyond ASCII are UTF-8 than are not."""
    text = piece.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    return sum(map(str.isascii, text)) < len(text) - 2 * bad


def likely_encoding(piece: bytes) -> str:
    """Return what text that is not UTF-8 is most likely in: latin-1, cp1252, or nobody's guess."""
    high = len(piece) - len(piece.translate(None, _HIGH))
    if len(piece) >= 64 and high > 0.3 * len(piece):
        return "NAME"  # no letters of Western Europe: those would be decoded, to nonsense
    if len(piece.translate(None, _C1)) == len(piece):
        return "latin-1"
    return "NAME" if _NO_CP1252.search(piece) else "cp1252"


def is_binary(piece: bytes) -> bool:
    """Whether `piece` has a NUL, or more control characters than any text in any encoding."""
    controls = len(piece) - len(piece.translate(None, _CONTROLS))
    return b"\0" in piece or controls > len(piece) / 100
