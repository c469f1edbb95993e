"""Text in portions that can be encoded one by one with the result of encoding it whole."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from groundup.data.split import Piece
from groundup.data.tokens import Tokens
from groundup.tokenizer import Tokenizer

UNIT = 1 << 18
"""Characters encoded at a time: enough to keep a thread busy for some 50 ms."""

# No word of GPT-2's pattern, and hardly one of any other's, holds both a character that is not
# white space and a white space after it. So all words end there; and as the pattern never looks
# back, and looks ahead only from white space to what follows it, neither side misses the other. A
# space is better than a line break: some patterns of today keep the break with the dot before it.
_SAFE = [re.compile(r".*\S(?= )", re.DOTALL), re.compile(r".*\S(?=\n)", re.DOTALL)]

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Unit:
    """Texts to be encoded at a time, each with whether its document ends there."""

    texts: list[tuple[str, bool]]

    @property
    def n_bytes(self) -> int:
        """The UTF-8 size of the texts."""
        return sum(len(t) if t.isascii() else len(t.encode("utf-8")) for t, _ in self.texts)

    def encode(self, tokenizer: Tokenizer) -> Tokens:
        """Return the tokens of all texts, with an end of text after each document (n,)."""
        no_more = [] if tokenizer.end_of_text is None else [tokenizer.end_of_text]
        ending = np.array(no_more, dtype=np.uint32)
        parts = []
        for text, ends in self.texts:
            parts.append(tokenizer.encode_array(text))
            if ends:
                parts.append(ending)
        return np.concatenate(parts)


def units(pieces: Iterable[Piece], size: int = UNIT) -> Iterator[Unit]:
    """Group a stream of text into units of about `size` characters, cut where it is safe."""
    texts: list[tuple[str, bool]] = []
    room = size
    for text, ends in cut_safely(pieces, size):
        texts.append((text, ends))
        room -= len(text) + 1
        if room <= 0:
            yield Unit(texts)
            texts, room = [], size
    if texts:
        yield Unit(texts)


def cut_safely(pieces: Iterable[Piece], size: int = UNIT) -> Iterator[tuple[str, bool]]:
    """Yield each document whole or, from `size` characters on, cut where words end anyway.

    A text of that length without a space or line break is cut between any two characters; it still
    decodes to itself.
    """
    rest = ""
    for piece in pieces:
        if piece is None:
            yield rest, True
            rest = ""
            continue
        rest += piece
        if len(rest) >= size:
            end = last_safe_cut(rest)
            yield rest[:end], False
            rest = rest[end:]
    if rest:
        yield rest, False


def last_safe_cut(text: str) -> int:
    """Return the last place in `text` where all words end; its length where there is none."""
    found = (pattern.match(text) for pattern in _SAFE)
    return next((match.end() for match in found if match), len(text))


def in_order(
    pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], ahead: int
) -> Iterator[R]:
    """Map in parallel: yield results in the order of `items`, with at most `ahead` under way."""
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
