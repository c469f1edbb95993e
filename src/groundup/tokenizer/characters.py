"""One token for each character of an alphabet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np

from groundup.base.errors import TokenizerError, UsageError, nearest
from groundup.tokenizer.arguments import check_text, each_text
from groundup.tokenizer.interface import (
    ENDS,
    Ids,
    Tokenizer,
    bpe_model,
    lone_surrogate,
    to_utf8,
    tokenizer_json,
)
from groundup.tokenizer.spans import Spans

UNKNOWN = ("error", "skip")
_MISSING = np.uint32(0xFFFFFFFF)


class CharTokenizer(Tokenizer):
    """The characters of `alphabet` as ids 0, 1, 2 …; another is an error, or skipped on demand.

    The special tokens `special` have the ids behind them; one that is called like an end of text is
    it, where there is one.
    """

    kind = "chars"

    def __init__(self, alphabet: str, unknown: str = "error", special: Sequence[str] = ()) -> None:
        if unknown not in UNKNOWN:
            raise UsageError(f"unknown = {unknown!r}: {nearest(unknown, UNKNOWN)}")
        check_text(alphabet, "CharTokenizer(alphabet)")
        if not alphabet:
            raise TokenizerError("an alphabet without characters; give a text that is not empty")
        if len(set(alphabet)) < len(alphabet):
            raise TokenizerError(
                "an alphabet names a character twice; name each one once, or learn it from a text: "
                "CharTokenizer.train([text])"
            )
        if len({*special, *alphabet}) < len(special) + len(alphabet):
            raise TokenizerError(
                "a special token is named twice, or as a character of the alphabet"
            )
        to_utf8(alphabet)
        self.alphabet = alphabet
        self.unknown = unknown
        self._special = {name: n for n, name in enumerate(special, len(alphabet))}
        self.vocab_size = len(alphabet) + len(self._special)
        ends = (self._special[name] for name in ENDS if name in self._special)
        self.end_of_text = next(ends, None)

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """None, unless it was given some."""
        return self._special

    @classmethod
    def train(cls, texts: Iterable[str], unknown: str = "error") -> CharTokenizer:
        """Take exactly the characters of `texts`, sorted by code point."""
        seen: set[str] = set()
        for text in each_text(texts, "CharTokenizer.train"):
            seen.update(text)
        return cls("".join(sorted(seen)), unknown)

    @cached_property
    def _table(self) -> Ids:
        """The id of each code point up to the highest known; the last entry is of all above."""
        codes = [ord(char) for char in self.alphabet]
        table = np.full(max(codes) + 2, _MISSING)
        table[codes] = np.arange(len(codes))
        return table

    def encode_array(self, text: str) -> Ids:
        """Encode `text` to ids (n,) uint32; an unknown character is a TokenizerError or skipped."""
        ids = self._looked_up(text)
        missing = ids == _MISSING
        if not missing.any():
            return ids
        if self.unknown == "skip":
            known: Ids = ids[~missing]
            return known
        position = int(missing.argmax())
        char = text[position]
        raise TokenizerError(
            f"character {char!r} (U+{ord(char):04X}) at position {position} is not among the "
            f"{len(self.alphabet)} characters of this tokenizer; remove it, or train on a text "
            "that has it, or with unknown 'skip'"
        )

    def n_unknown(self, text: str) -> int:
        """Return how many characters of `text` are skipped, where unknown ones are."""
        return int((self._looked_up(text) == _MISSING).sum()) if self.unknown == "skip" else 0

    def encode_spans(self, text: str) -> tuple[Ids, Spans]:
        """Return the ids (n,) of `text`, and the one character that each is of (n, 2)."""
        ids = self.encode_array(text)
        at = np.flatnonzero(self._looked_up(text) != _MISSING)
        return ids, np.stack([at, at + 1], axis=1)

    def _looked_up(self, text: str) -> Ids:
        """Return the id of each character (len(text),), `_MISSING` where there is none."""
        try:
            codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        except UnicodeEncodeError as error:
            raise lone_surrogate(error) from None
        ids: Ids = self._table[np.minimum(codes, len(self._table) - 1)]
        return ids

    def token_bytes(self, token: int) -> bytes:
        """Return the UTF-8 of the character that `token` stands for; a special one has none."""
        return self.decode_bytes([token])

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Decode `ids` to UTF-8; an id outside the alphabet is a TokenizerError."""
        known, n = self.alphabet, len(self.alphabet)
        return "".join([known[token] for token in self.checked(ids) if token < n]).encode("utf-8")

    def to_json(self) -> str:
        """Return the text of a tokenizer.json with which other libraries encode the same.

        Of the models of that format, one that knows whole words refuses an unknown word, and
        byte-pair encoding without merges skips an unknown character.
        """
        vocab = {char: token for token, char in enumerate(self.alphabet)}
        every = {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated"}
        words = {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"}
        skips = self.unknown == "skip"
        return tokenizer_json(
            bpe_model(vocab, merges=[]) if skips else words,
            pre_tokenizer=None if skips else every | {"invert": False},
            decoder={"type": "Fuse"},
            special=self._special,
        )
