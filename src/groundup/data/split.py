"""Which text trains and which validates, decided before anything is encoded.

With 20 or more different documents the hash of its text decides about each, so that a document
keeps its side however many others come and go. With fewer, the last tenth of the text validates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from groundup.base.errors import DataError
from groundup.data.documents import Document
from groundup.data.text_sum import TextSum, plus

FEWEST_FOR_HASH = 20
"""Different documents from which on the hash decides."""

HASH_SHARE = 2**64 // 10
"""A document validates whose first 64 bits of SHA-256, as a number, are below this."""

Piece = str | None
"""A piece of text, or None where a document ends."""


class SplitRule(Protocol):
    """A decision about every part of the text."""

    @property
    def text(self) -> str:
        """The rule in words."""

    def pieces(self, documents: Iterable[Document], split: str, read: TextSum) -> Iterator[Piece]:
        """Yield the text of `split` ("train" or "val"), and None after each document of it.

        What is yielded has been added to `read`.
        """

    def are_all(self, total: int, read: Mapping[str, Mapping[str, str]]) -> bool:
        """Tell whether finished readings of both splits are of the text whose sum is `total`."""


@dataclass(frozen=True)
class ByHash:
    """Whole documents; entry n of `validates` tells the side of document n."""

    text: str
    validates: bytearray

    def pieces(self, documents: Iterable[Document], split: str, read: TextSum) -> Iterator[Piece]:
        """Yield the text of the documents of `split`, and None after each."""
        sides = iter(self.validates)
        for number, (document, validates) in enumerate(zip(documents, sides, strict=False)):
            if validates == (split == "val"):
                for chunk in document.chunks:
                    read.add(_bytes(chunk))
                    yield chunk
                read.end(number)
                yield None

    def are_all(self, total: int, read: Mapping[str, Mapping[str, str]]) -> bool:
        """Tell whether the documents of both splits add up to the text."""
        return sum(int(part["total"], 16) for part in read.values()) == total


@dataclass(frozen=True)
class ByPosition:
    """The first `cut` of `total` bytes train, save a character that would be cut in two."""

    text: str
    cut: int
    total: int

    def pieces(self, documents: Iterable[Document], split: str, read: TextSum) -> Iterator[Piece]:
        """Yield the text of `split`, and None after each document that ends in it.

        To what validates, what trains is read again: `read` has both.
        """
        first, last = (0, self.cut) if split == "train" else (self.cut, self.total)
        position = 0
        for number, document in enumerate(documents):
            for chunk in document.chunks:
                data = _bytes(chunk)
                begin, end = (_boundary(data, at - position) for at in (first, last))
                position += len(data)
                if begin:
                    read.add(data[:begin])
                if begin < end:
                    read.before = read.before or read.mark()[1]
                    read.add(data[begin:end])
                    yield data[begin:end].decode("utf-8")
            if position <= last:
                read.end(number)
            if first < position <= last:
                yield None
            if position >= last:
                return

    def are_all(self, total: int, read: Mapping[str, Mapping[str, str]]) -> bool:
        """Tell whether the last reading was of the text, and the first one of its beginning."""
        is_whole = int(read["val"]["total"], 16) == total
        return is_whole and read["val"]["before"] == read["train"]["digest"]


def _bytes(chunk: str) -> bytes:
    """Return the bytes of a text that may have changed since it was found to be one."""
    return chunk.encode("utf-8", "surrogatepass")


def _boundary(data: bytes, at: int) -> int:
    """Return the last start of a character in `data` up to `at`, or the end where `at` is beyond.

    Continuation bytes of UTF-8 are those of the form 10xxxxxx.
    """
    if at >= len(data):
        return len(data)
    at = max(at, 0)
    while at and data[at] & 0xC0 == 0x80:
        at -= 1
    return at


@dataclass(frozen=True)
class Scan:
    """What one pass over all text tells: its fingerprint, its size and how it divides."""

    fingerprint: str
    total: int
    """The `TextSum` of it."""
    n_bytes: int
    n_documents: int
    largest: dict[str, str | int]
    rule: SplitRule


def scan(documents: Iterable[Document], progress: Callable[[int], None]) -> Scan:
    """Read everything once, keeping one byte a document; no text at all is a DataError."""
    everything = hashlib.sha256()
    total, text_sum = 0, 0
    largest: dict[str, str | int] = {"name": "", "bytes": 0}
    hashes = _Hashes()
    for document in documents:
        digest = hashlib.sha256()
        size = 0
        for chunk in document.chunks:
            data = _utf8(chunk, document)
            digest.update(data)
            size += len(data)
            progress(total + size)
        text_sum = plus(text_sum, digest.digest(), len(hashes.validates))
        hashes.add(digest.digest())
        everything.update(digest.digest())
        total += size
        if size > int(largest["bytes"]):
            largest = {"name": document.name, "bytes": size}
    if not total:
        raise DataError("no text in the sources given; expected at least one character")
    return Scan(
        fingerprint=everything.hexdigest(),
        total=text_sum,
        n_bytes=total,
        n_documents=len(hashes.validates),
        largest=largest,
        rule=hashes.rule(total),
    )


def _utf8(chunk: str, document: Document) -> bytes:
    try:
        return chunk.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(chunk[error.start])
        raise DataError(
            f"{document.name}: U+{code:04X} is half of a character and cannot be stored; remove it"
        ) from None


class _Hashes:
    """The sides of the documents by their hashes, as far as they have been seen."""

    def __init__(self) -> None:
        self.validates = bytearray()
        self._smallest = b"\xff" * 33  # above every hash
        self._holders: list[int] = []
        self._different: set[bytes] = set()

    def add(self, digest: bytes) -> None:
        if digest < self._smallest:
            self._smallest, self._holders = digest, []
        if digest == self._smallest:
            self._holders.append(len(self.validates))
        if len(self._different) < FEWEST_FOR_HASH:
            self._different.add(digest)
        self.validates.append(int.from_bytes(digest[:8], "big") < HASH_SHARE)

    def rule(self, total: int) -> SplitRule:
        count = len(self.validates)
        if len(self._different) < FEWEST_FOR_HASH:
            cut = total * 9 // 10
            text = (
                f"by position: there are fewer than {FEWEST_FOR_HASH} different documents "
                f"({len(self._different)}), so the last 10% of the text validates "
                f"({total - cut:,} of {total:,} bytes)"
            )
            return ByPosition(text, cut, total)
        if not any(self.validates):
            for number in self._holders:
                self.validates[number] = True
            text = (
                f"by document: none of {count:,} has its SHA-256 in the first 10% of the hash "
                "space, so the one with the smallest validates"
            )
            return ByHash(text, self.validates)
        text = (
            "by document: those with their SHA-256 in the first 10% of the hash space validate "
            f"({sum(self.validates):,} of {count:,})"
        )
        return ByHash(text, self.validates)
