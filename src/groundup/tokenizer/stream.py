"""Ids that come one after another, as text that is never cut inside a character."""

from __future__ import annotations

import codecs
from collections.abc import Iterable

from groundup.tokenizer.interface import Tokenizer

REPLACEMENT = "\ufffd"


class StreamDecoder:
    """Turns ids into text as they come; all that it gives, joined, is `tokenizer.decode(all ids)`.

    Bytes that may be the beginning of a character wait for the rest of it.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._ids: list[int] = []
        self._given = 0

    def feed(self, ids: Iterable[int]) -> str:
        """Take further ids and return the text that is certain by now, which may be empty."""
        if self._tokenizer.joins_bytes:
            return self._utf8.decode(self._tokenizer.decode_bytes(ids))
        self._ids += ids
        return self._rest(self._tokenizer.decode(self._ids).rstrip(REPLACEMENT))

    def flush(self) -> str:
        """Return what still waits, an unfinished character as U+FFFD, and begin anew."""
        if self._tokenizer.joins_bytes:
            rest = self._utf8.decode(b"", final=True)  # which also resets it
        else:
            rest = self._rest(self._tokenizer.decode(self._ids))
            self._ids, self._given = [], 0
        return rest

    def _rest(self, text: str) -> str:
        rest = text[self._given :]
        self._given += len(rest)
        return rest
