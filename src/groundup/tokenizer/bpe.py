"""Byte-level byte-pair encoding, at the speed of tiktoken."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from groundup.tokenizer import byte_level
from groundup.tokenizer.interface import (
    END_OF_TEXT,
    ENDS,
    MORE_ENDS,
    Ids,
    Tokenizer,
    bpe_model,
    lone_surrogate,
    tokenizer_json,
)
from groundup.tokenizer.ranks import encode_by_rank, rank_encoding
from groundup.tokenizer.training import learn_merges

if TYPE_CHECKING:
    from tiktoken import Encoding

GPT2_FINGERPRINT = "6282c5acb7fb9017fae032e2a932f49ef57fa4aa067bae9ef5c3c7bb4963d9b3"

# The white space of Unicode, which Python's \s exceeds.
_WHITE = r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
_LONG_WHITE = re.compile(_WHITE + "{4096,}")


class BPETokenizer(Tokenizer):
    """Byte-pair encoding over the 256 bytes: every text can be expressed, and comes back exactly.

    `tokens` are the bytes of the ids 0, 1, 2 …; `merges` are the pairs that make the tokens of more
    than one byte, in the order of their ids. The special token, where there is one, is the last id
    and ends a text.
    """

    def __init__(
        self,
        tokens: Sequence[bytes],
        merges: Sequence[tuple[bytes, bytes]],
        special: str | None = END_OF_TEXT,
    ) -> None:
        self._tokens = [*tokens] if special is None else [*tokens, b""]
        self._merges = list(merges)
        self._special = {} if special is None else {special: len(tokens)}
        self.vocab_size = len(self._tokens)
        self.end_of_text = None if special is None else len(tokens)
        if special is not None and special not in (*ENDS, *MORE_ENDS):
            self.given_end = self.end_of_text

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> BPETokenizer:
        """Learn a vocabulary of at most `vocab_size` ids, the end-of-text token included.

        A text too small to reach it gives fewer. `texts` may be pieces of any length.
        """
        return cls(*learn_merges(texts, vocab_size))

    @property
    def kind(self) -> str:  # type: ignore[override]
        """Say "gpt2" where the vocabulary is GPT-2's own, else "bpe"."""
        is_gpt2 = self.vocab_size == 50257 and self.fingerprint == GPT2_FINGERPRINT
        return "gpt2" if is_gpt2 else "bpe"

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """The end of a text, where there is one."""
        return self._special

    @cached_property
    def _encoding(self) -> Encoding:
        ranks = {token: rank for rank, token in enumerate(self._tokens) if token}
        return rank_encoding(ranks, byte_level.PATTERN)

    def encode_array(self, text: str) -> Ids:
        """Encode `text` to ids (n,) uint32; a lone surrogate is a TokenizerError."""
        try:
            return self._encode(text)
        except UnicodeEncodeError as error:
            raise lone_surrogate(error) from None
        except ValueError:
            return self._encode_in_parts(text)

    def _encode(self, text: str) -> Ids:
        return encode_by_rank(self._encoding, text)

    def _encode_in_parts(self, text: str) -> Ids:
        """Encode a text with so long a white space that tiktoken's pattern engine gives up.

        Such a run is one piece: whole where the text ends with it, else without its last character,
        which is left to the word after it. What stands before does not depend on it.
        """
        parts, start = [], 0
        for run in _LONG_WHITE.finditer(text):
            end = run.end() if run.end() == len(text) else run.end() - 1
            white = self._encoding._core_bpe.encode_single_piece(text[run.start() : end].encode())
            parts += [self._encode(text[start : run.start()]), np.array(white, dtype=np.uint32)]
            start = end
        return np.concatenate([*parts, self._encode(text[start:])])

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes that `token` stands for; the special token stands for none."""
        (checked,) = self.checked([token])
        return self._tokens[checked]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Decode `ids` to bytes; an id outside the vocabulary is a TokenizerError."""
        return b"".join([self._tokens[token] for token in self.checked(ids)])

    def to_json(self) -> str:
        """Return the text of a tokenizer.json with which other libraries encode the same."""
        to_chars = byte_level.to_chars
        vocab = {
            to_chars(token): n for n, token in enumerate(self._tokens) if token
        } | self._special
        merges = [f"{to_chars(left)} {to_chars(right)}" for left, right in self._merges]
        return tokenizer_json(
            bpe_model(vocab, merges),
            pre_tokenizer=byte_level.pre_tokenizer(use_regex=True),
            decoder=byte_level.DECODER,
            special=self._special,
        )


def train_bpe(texts: Iterable[str], vocab_size: int) -> BPETokenizer:
    """Learn a tokenizer from `texts`, as `BPETokenizer.train` does."""
    return BPETokenizer.train(texts, vocab_size)
