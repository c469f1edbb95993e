"""llama2.c's tokenizer.bin: a SentencePiece vocabulary as scores and bytes.

    longest token (4 bytes), and for each token: score (fp32), length (4 bytes), bytes

Spaces stand as they are, and begin and end of a text as "\\n<s>\\n" and "\\n</s>\\n".
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

from groundup.base.errors import TokenizerError, shown
from groundup.base.regular import read_bytes
from groundup.tokenizer import Tokenizer, tokenizer_from_document
from groundup.tokenizer.interface import added_token
from groundup.weights.gguf import sentencepiece
from groundup.weights.gguf.tokenizer import MOST_PAIRS

SPECIAL = ("<unk>", "<s>", "</s>")
N_BYTES = 256
"""Tokens behind the special ones: the bytes."""
LARGEST = 16 << 20
GENERATION: dict[str, Any] = {
    "start_token": 1,
    "end_of_text": 1,
    "stop_tokens": [1, 2],
    "special_tokens": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
}
"""Its texts begin with <s>, which parts them as well."""


def read_tokenizer(model: Path, vocab_size: int) -> Tokenizer | None:
    """Return the tokenizer beside a model, None where there is none.

    It must have one token for each id of the model; what is damaged is a `TokenizerError`.
    """
    names = (f"tok{vocab_size}.bin", "tokenizer.bin")
    files = [file for name in names if (file := model.with_name(name)).is_file()]
    if not files:
        return None
    try:
        raw = read_bytes(files[0], LARGEST)
        return tokenizer_from_document(_document(_tokens(raw, vocab_size)))
    except ValueError as error:
        raise TokenizerError(
            f"{files[0]}: {error}; put the tokenizer.bin of this model beside it"
        ) from None
    except TokenizerError as error:
        raise TokenizerError(f"{files[0]}: {error}") from None


def _tokens(raw: bytes, vocab_size: int) -> list[tuple[str, float]]:
    """Return each token with its score; a file that does not hold just these is a ValueError."""
    found, at = [], 4
    for token in range(vocab_size):
        if at + 8 > len(raw):
            raise ValueError(f"it has {token:,} tokens, but the model {vocab_size:,}")
        score, length = struct.unpack_from("<fi", raw, at)
        content, at = raw[at + 8 : at + 8 + length], at + 8 + length
        if length < 0 or len(content) != length:
            raise ValueError(f"token {token:,} ends beyond the file")
        if not math.isfinite(score):
            raise ValueError(f"token {token:,} has the score {score}")
        found.append((content.decode("utf-8"), score))
    if at != len(raw):
        raise ValueError(f"it has more tokens than the {vocab_size:,} of the model")
    return found


def _document(tokens: list[tuple[str, float]]) -> dict[str, Any]:
    words = [text.replace(" ", sentencepiece.SPACE) for text, _ in tokens]
    words[: len(SPECIAL)] = SPECIAL
    vocab = {word: token for token, word in enumerate(words)}
    if len(vocab) < len(words):
        twice = next(word for token, word in enumerate(words) if vocab[word] != token)
        raise ValueError(f"{shown(twice)} stands twice in it")
    scores = {
        word: score
        for word, (_, score) in list(zip(words, tokens, strict=True))[len(SPECIAL) + N_BYTES :]
        if len(word) > 1
    }
    if sum(len(word) ** 2 for word in scores) > MOST_PAIRS:
        raise ValueError("its tokens are far longer than those of any vocabulary")
    added = [added_token(token, word, special=True) for token, word in enumerate(SPECIAL)]
    return sentencepiece.document(vocab, scores, added, SPECIAL[0], has_prefix=True)
