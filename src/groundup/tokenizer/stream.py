"""Ids that come one after another, as text that is never cut inside a character."""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Iterable, Sequence

from groundup.tokenizer.interface import REPLACEMENT, Tokenizer

LONGEST_RUN = 64
"""Tokens that wait for each other; a run of more is divided between characters."""


class StreamDecoder:
    """Turns ids into text as they come, behind the ids that are there `before` them.

    All that it gives, joined, is a difference: `decode(before + ids)` less the characters that
    `decode(before)` has. So a space between the two is kept, which many tokenizers drop at the
    beginning of a text. A character that `before` only begins is not there yet: it is given whole.
    What may be a part of a character waits for the rest of it. An id costs the same however many
    came before it.
    """

    def __init__(self, tokenizer: Tokenizer, before: Sequence[int] = ()) -> None:
        kind = _ByBytes if tokenizer.joins_bytes else _ByDifference
        self._decoder = kind(tokenizer, before)

    def feed(self, ids: Iterable[int]) -> str:
        """Take further ids and return the text that is certain by now, which may be empty."""
        return self._decoder.feed(ids)

    def flush(self) -> str:
        """Return what still waits, an unfinished character as U+FFFD, and begin anew."""
        return self._decoder.flush()


class _ByBytes:
    """For tokenizers whose text is the bytes of the tokens, one after the other."""

    def __init__(self, tokenizer: Tokenizer, before: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        last, n = b"", len(before)
        while n and len(last) < 3:  # as many bytes as an unfinished character may have
            n -= 1
            last = tokenizer.decode_bytes([before[n]]) + last
        self._utf8.decode(last)
        self._shown_before = REPLACEMENT if self._utf8.getstate()[0] else ""

    def feed(self, ids: Iterable[int]) -> str:
        return self._new(self._utf8.decode(self._tokenizer.decode_bytes(ids)))

    def flush(self) -> str:
        return self._new(self._utf8.decode(b"", final=True))  # which also resets it

    def _new(self, text: str) -> str:
        if self._shown_before and text:
            text, self._shown_before = text.removeprefix(self._shown_before), ""
        return text


class _ByDifference:
    """For tokenizers that decode ids only together: each is decoded behind the last ones before it.

    Those are the *anchor*, as many as it takes to show something. Whatever a decoder does to the
    beginning of a text, such as to drop spaces, it does to the anchor, alone and with more behind.
    `_decoded` is the text of all ids so far, `_decoded_whole` that without an unfinished character.
    """

    def __init__(self, tokenizer: Tokenizer, before: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._silent = frozenset(tokenizer.special_tokens.values())
        self._anchor: list[int] = []
        self._decoded = self._decoded_whole = ""
        self._waiting: list[int] = []
        self.feed(self._last_of(before))
        self._decoded = tokenizer.decode(self._anchor + self._waiting)
        self._decoded_whole = tokenizer.decode(self._anchor + self._waiting[: self._n_whole()])

    def feed(self, ids: Iterable[int]) -> str:
        n_certain = 0
        for token in self._shown(ids):
            self._waiting.append(token)
            if not self._tokenizer.is_partial(token):
                n_certain = len(self._waiting)
        if len(self._waiting) - n_certain > LONGEST_RUN:
            n_certain = self._n_whole() or len(self._waiting)
        return self._give(n_certain)

    def flush(self) -> str:
        rest = self._give(len(self._waiting))
        self._anchor, self._decoded, self._decoded_whole = [], "", ""
        return rest

    def _give(self, n_certain: int) -> str:
        """Return the text of the first that wait, less what was there."""
        if not n_certain:
            return ""
        certain, self._waiting = self._waiting[:n_certain], self._waiting[n_certain:]
        text = self._tokenizer.decode(self._anchor + certain)
        n_known = max(len(self._decoded_whole), _n_common(self._decoded, text))
        self._anchor = self._visible_end(certain) or (self._anchor + certain)[:LONGEST_RUN]
        self._decoded = self._decoded_whole = self._tokenizer.decode(self._anchor)
        return text[n_known:]

    def _visible_end(self, ids: list[int]) -> list[int]:
        """Return the fewest last ids that show something, without half a character; or none."""
        for n in range(1, min(len(ids), LONGEST_RUN) + 1):
            text = self._tokenizer.decode(ids[-n:])
            if text.strip() and REPLACEMENT not in text:
                return ids[-n:]
        return []

    def _last_of(self, before: Sequence[int]) -> list[int]:
        """Return the last ids from one that shows something on; a run of parts is not divided."""
        ids = self._shown(before)
        end = len(ids)
        while end and self._tokenizer.is_partial(ids[end - 1]):
            end -= 1
        n_anchor = len(self._visible_end(ids[:end])) or LONGEST_RUN
        return ids[max(end - n_anchor, 0) :]

    def _shown(self, ids: Iterable[int]) -> list[int]:
        return [token for token in ids if token not in self._silent]

    def _n_whole(self) -> int:
        """Return how many of those that wait end with a whole character, or 0."""
        n = len(self._waiting)
        for end in range(n, max(n - 4, 0), -1):
            if not self._tokenizer.decode(self._waiting[:end]).endswith(REPLACEMENT):
                return end
        return 0


def _n_common(left: str, right: str) -> int:
    """Return how many characters two texts begin with in common."""
    equal = (a == b for a, b in zip(left, right, strict=False))
    return sum(itertools.takewhile(bool, equal))
