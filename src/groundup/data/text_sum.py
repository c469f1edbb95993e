"""What was read of a text, in a number: each reading of it is held against the first one.

A text is scanned, then read again to train a tokenizer, and again to be encoded, by this process or
by one that goes on where it was killed. Between them somebody may change it in place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from groundup.base.errors import DataError

Mark = tuple[int, str]
"""How far a reading has come, in pieces and ends of documents, and the digest of all of it."""


class TextChangedError(DataError):
    """A text does not say what it said when it was read before."""


class TextSum:
    """The sum of the digests of documents, each times its place: the parts of a text add up to it.

    `expected` are marks of earlier readings of the same pieces, which must come again.
    """

    def __init__(self, expected: Iterable[Mark] = ()) -> None:
        self.total = 0
        self.before = ""
        """The digest of what stands before this part, where the reading has passed by there."""
        self._document = hashlib.sha256()
        self._n_read = 0
        self._expected: dict[int, str] = {}
        for n_read, digest in expected:
            if self._expected.setdefault(n_read, digest) != digest:
                raise TextChangedError

    def add(self, piece: bytes) -> None:
        """Take a piece of a document that was read."""
        self._document.update(piece)
        self._check()

    def end(self, number: int) -> None:
        """Take the end of a document, the `number`th of all."""
        self.total = plus(self.total, self._document.digest(), number)
        self._document = hashlib.sha256()
        self._check()

    def mark(self) -> Mark:
        """Return what stands for all that was read so far."""
        document = self._document.copy()
        document.update(b"%x" % self.total)
        return self._n_read, document.hexdigest()

    def finished(self) -> dict[str, Any]:
        """Return what is kept of a reading that came to its end; raise where it was too short."""
        if any(self._expected):
            raise TextChangedError
        _, digest = self.mark()
        return {"total": f"{self.total:x}", "digest": digest, "before": self.before}

    def _check(self) -> None:
        self._n_read += 1
        expected = self._expected.pop(self._n_read, None)
        if expected is not None and expected != self.mark()[1]:
            raise TextChangedError


def plus(total: int, digest: bytes, number: int) -> int:
    """Return a sum and the digest of the `number`th document, times its place."""
    return total + int.from_bytes(digest, "big") * (2 * number + 1)
