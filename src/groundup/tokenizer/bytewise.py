"""One token for each byte."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from groundup.tokenizer import byte_level
from groundup.tokenizer.interface import (
    END_OF_TEXT,
    Ids,
    Tokenizer,
    bpe_model,
    to_utf8,
    tokenizer_json,
)

SPECIAL = 256
"""The id of the end of a text."""


class ByteTokenizer(Tokenizer):
    """The 256 bytes as ids 0 to 255, and 256 for the end of a text: nothing is beyond it."""

    kind = "bytes"
    vocab_size = 257
    end_of_text = SPECIAL

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """The end of a text alone."""
        return {END_OF_TEXT: SPECIAL}

    def encode_bytes(self, data: bytes) -> Ids:
        """Encode any bytes, of text or not, to ids (n,) uint32."""
        return np.frombuffer(data, dtype=np.uint8).astype(np.uint32)

    def encode_array(self, text: str) -> Ids:
        """Encode the UTF-8 of `text` to ids (n,) uint32; a lone surrogate is a TokenizerError."""
        return self.encode_bytes(to_utf8(text))

    def token_bytes(self, token: int) -> bytes:
        """Return the one byte that `token` stands for; the special token stands for none."""
        return self.decode_bytes([token])

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Decode `ids` to bytes; an id outside the vocabulary is a TokenizerError."""
        return bytes([token for token in self.checked(ids) if token != SPECIAL])

    def to_json(self) -> str:
        """Return the text of a tokenizer.json with which other libraries encode the same."""
        special = dict(self.special_tokens)
        vocab = {byte_level.BYTE_TO_CHAR[byte]: byte for byte in range(256)} | special
        return tokenizer_json(
            bpe_model(vocab, merges=[]),
            pre_tokenizer=byte_level.pre_tokenizer(use_regex=False),
            decoder=byte_level.DECODER,
            special=special,
        )
