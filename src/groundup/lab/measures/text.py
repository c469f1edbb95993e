"""The text that experiments learn from, as characters: small vocabulary, known entropy."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain

import numpy as np

from groundup.base.errors import DataError
from groundup.data import TokenSplit, read_documents
from groundup.tokenizer import CharTokenizer, Tokenizer
from groundup.tokenizer.interface import Ids

DEFAULT_TEXT = "shakespeare"
MOST_CHARACTERS = 1_100_000
LEAST_CHARACTERS = 20_000
VALIDATION_CHARACTERS = 20_000
VALIDATION_SHARE = 0.1
"""Of a short text at most this share validates."""
STRETCH = 1024
"""Characters that stay together in a part of a text."""


@dataclass(frozen=True, kw_only=True)
class LabText:
    """A text as ids: the end of it validates."""

    name: str
    fingerprint: str
    tokenizer: Tokenizer
    splits: tuple[TokenSplit, TokenSplit]
    n_characters: int
    unigram_entropy: float
    """Nats a token: the loss of a model that knows only how frequent each token is."""


@lru_cache(maxsize=2)
def read_text(name: str) -> LabText:
    """Return the first characters of a text, at most `MOST_CHARACTERS`.

    `name` is a file, a folder or a named text. Raises `DataError` where it is too short.
    """
    pieces: list[str] = []
    length = 0
    for chunk in chain.from_iterable(document.chunks for document in read_documents([name])):
        pieces.append(chunk)
        length += len(chunk)
        if length >= MOST_CHARACTERS:
            break
    text = "".join(pieces)[:MOST_CHARACTERS]
    if len(text) < LEAST_CHARACTERS:
        raise DataError(
            f"{name}: {len(text):,} characters; expected at least {LEAST_CHARACTERS:,}, as an "
            "experiment on less shows what the text is like; give a longer text"
        )
    tokenizer = CharTokenizer.train([text])
    ids = tokenizer.encode_array(text)
    counts = np.bincount(ids)
    share = counts[counts > 0] / len(ids)
    return LabText(
        name=name,
        fingerprint=hashlib.sha256(text.encode()).hexdigest()[:16],
        tokenizer=tokenizer,
        splits=_split(tokenizer, ids),
        n_characters=len(text),
        unigram_entropy=float(-(share * np.log(share)).sum()),
    )


def part_of(text: LabText, n_tokens: int, seed: int) -> LabText:
    """Return a text with only so many tokens to learn from; the same ones validate.

    They are stretches of `STRETCH` tokens from places drawn by `seed`, so that a small part is like
    the whole. Raises `DataError` where there are fewer.
    """
    whole = text.splits[0]
    n_places, n_stretches = whole.n_tokens // STRETCH, -(-n_tokens // STRETCH)
    if n_stretches > n_places:
        raise DataError(
            f"{text.name}: {whole.n_tokens:,} characters to learn from; expected at least "
            f"{n_stretches * STRETCH:,}, as they are to be read once; give a longer text"
        )
    places = np.random.default_rng(seed).permutation(n_places)[:n_stretches]
    stretches = [whole.read(place * STRETCH, STRETCH) for place in sorted(places.tolist())]
    ids = np.concatenate(stretches)[:n_tokens]
    n_bytes = len(text.tokenizer.decode(ids.tolist()).encode())
    return replace(text, splits=(TokenSplit.from_array(ids, n_bytes), text.splits[1]))


def _split(tokenizer: CharTokenizer, ids: Ids) -> tuple[TokenSplit, TokenSplit]:
    validating = min(VALIDATION_CHARACTERS, round(len(ids) * VALIDATION_SHARE))
    first, last = (
        TokenSplit.from_array(part, len(tokenizer.decode(part.tolist()).encode()))
        for part in np.split(ids, [len(ids) - validating])
    )
    return first, last
