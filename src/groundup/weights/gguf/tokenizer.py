"""The tokenizer in a GGUF file, and one of ours on its way into such a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from groundup.base.errors import TokenizerError, nearest
from groundup.tokenizer import Tokenizer, byte_level, tokenizer_from_document
from groundup.tokenizer.interface import added_token, bpe_model, tokenizer_document
from groundup.weights.gguf import sentencepiece
from groundup.weights.gguf.header import Header
from groundup.weights.gguf.pre_tokenizers import PRE_TOKENIZERS, SYNONYMS, UNNAMED
from groundup.weights.gguf.special import GGML, NO_BOS, TEMPLATE, read_generation

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""GGUF's types of tokens."""

MOST_PAIRS = 1 << 27
"""Sum of the squares of the tokens' lengths; that of SmolLM2's 49,152 tokens is 2,766,339."""


@dataclass(frozen=True)
class GGUFTokenizer:
    """The tokenizer of a GGUF file, and what the file says of its use.

    `why_none` says what would be needed to read one that is there.
    """

    tokenizer: Tokenizer | None = None
    chat_template: str | None = None
    generation: dict[str, Any] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    why_none: str = ""


class _UnknownKindError(TokenizerError):
    """What the file only names, and does not bring, is not known here."""


class _Vocabulary(NamedTuple):
    """Tokens with their ids, without those at the end that only fill the model's table."""

    tokens: list[str]
    types: list[int]

    @property
    def ids(self) -> dict[str, int]:
        return {token: n for n, token in enumerate(self.tokens)}

    @property
    def added(self) -> list[dict[str, Any]]:
        """The tokens that are found before anything else, as a tokenizer.json lists them."""
        return [
            added_token(n, token, special=kind != USER_DEFINED)
            for n, (token, kind) in enumerate(zip(self.tokens, self.types, strict=True))
            if kind in (CONTROL, USER_DEFINED, UNKNOWN)
        ]


def read_tokenizer(header: Header, vocab_size: int) -> GGUFTokenizer:
    """Return the tokenizer of a GGUF file, its chat template and how it is sampled.

    One that is damaged, or has more ids than the model's `vocab_size`, is a TokenizerError. One
    that cuts texts in a way not known here is left out, so that another can take its place.
    """
    model = header.metadata.get(GGML + "model", "none")
    try:
        if isinstance(model, str) and model in ("none", "no_vocab"):
            return GGUFTokenizer(notices=["the file holds no tokenizer"])
        vocabulary = _vocabulary(header.metadata)
        if len(vocabulary.tokens) > vocab_size:
            n_tokens = len(vocabulary.tokens)
            raise TokenizerError(
                f"{GGML}tokens: {n_tokens:,}, but the model has room for {vocab_size:,}"
            )
        tokenizer, why_none, starts, notices = None, "", False, []
        try:
            document, starts, notices = _reader(model)(header.metadata, vocabulary)
            tokenizer = tokenizer_from_document(document)
        except _UnknownKindError as error:
            why_none = f"{header.path}: {error}"
        generation, odd = read_generation(header.metadata, starts, vocabulary.tokens, header.path)
        template = (_text(header.metadata, TEMPLATE) or "").removeprefix(NO_BOS) or None
        return GGUFTokenizer(tokenizer, template, generation, notices + odd, why_none)
    except TokenizerError as error:
        raise TokenizerError(f"{header.path}: {error}; convert the model again") from None


def _vocabulary(metadata: Mapping[str, Any]) -> _Vocabulary:
    tokens = _texts(metadata, "tokens")
    types = _values(metadata, "token_type", len(tokens), NORMAL)
    n_used = len(tokens)
    while n_used and types[n_used - 1] == UNUSED:
        n_used -= 1
    kept = tokens[:n_used]
    if len(set(kept)) < len(kept):
        ((twice, _),) = Counter(kept).most_common(1)
        raise TokenizerError(f"{GGML}tokens: {twice[:60]!r} stands twice")
    return _Vocabulary(kept, [int(kind) for kind in types[:n_used]])


def _byte_level(
    metadata: Mapping[str, Any], vocabulary: _Vocabulary
) -> tuple[Any, bool, list[str]]:
    """Return the tokenizer.json of byte-level BPE, as GPT-2's is."""
    name, notices = _text(metadata, GGML + "pre"), []
    if name in UNNAMED:
        name, notices = (
            "gpt-2",
            [f"{GGML}pre names no way to cut texts into words: GPT-2's is used"],
        )
    name = SYNONYMS.get(name, name)
    if name not in PRE_TOKENIZERS:
        known = nearest(name, [*PRE_TOKENIZERS, *SYNONYMS])
        raise _UnknownKindError(
            f"{GGML}pre {name[:60]!r} names a rule that cuts texts into words, which the file does "
            f"not bring and which is not known here ({known})"
        )
    parts = PRE_TOKENIZERS[name]
    model = bpe_model(vocabulary.ids, _texts(metadata, "merges"))
    document = tokenizer_document(
        model | {"ignore_merges": parts.ignore_merges},
        vocabulary.added,
        parts.normalizer,
        parts.pre_tokenizer,
        byte_level.DECODER,
    )
    return document, parts.starts, notices


def _sentencepiece(
    metadata: Mapping[str, Any], vocabulary: _Vocabulary
) -> tuple[Any, bool, list[str]]:
    """Return the tokenizer.json of a SentencePiece vocabulary, as Llama 2's is."""
    scores = _values(metadata, "scores", len(vocabulary.tokens), None)
    normal = {
        token: float(score)
        for token, kind, score in zip(vocabulary.tokens, vocabulary.types, scores, strict=False)
        if kind == NORMAL and len(token) > 1
    }
    if sum(len(token) ** 2 for token in normal) > MOST_PAIRS:
        raise TokenizerError(f"{GGML}tokens: far longer than those of any vocabulary")
    unknown = next((t for t, kind in zip(*vocabulary, strict=True) if kind == UNKNOWN), None)
    has_prefix = _flag(metadata, "add_space_prefix", True)
    return (
        sentencepiece.document(vocabulary.ids, normal, vocabulary.added, unknown, has_prefix),
        True,
        [],
    )


READERS = {"gpt2": _byte_level, "llama": _sentencepiece}


def _reader(model: Any) -> Any:
    """Return what reads tokenizers of a kind."""
    if isinstance(model, str) and model in READERS:
        return READERS[model]
    raise _UnknownKindError(
        f"{GGML}model {str(model)[:60]!r} is a kind of tokenizer that is not known here "
        f"({nearest(str(model), READERS)})"
    )


def _flag(metadata: Mapping[str, Any], name: str, default: bool) -> bool:
    value = metadata.get(GGML + name, default)
    if not isinstance(value, bool):
        raise TokenizerError(f"{GGML}{name}: expected true or false")
    return value


def _text(metadata: Mapping[str, Any], key: str) -> str:
    value = metadata.get(key, "")
    if not isinstance(value, str):
        raise TokenizerError(f"{key}: expected a text")
    return value


def _texts(metadata: Mapping[str, Any], name: str) -> list[str]:
    value = metadata.get(GGML + name)
    if not isinstance(value, list):
        raise TokenizerError(f"{GGML}{name}: expected a list of texts")
    return value


def _values(metadata: Mapping[str, Any], name: str, count: int, default: int | None) -> list[Any]:
    value = metadata.get(GGML + name)
    if value is None and default is not None:
        return [default] * count
    if not isinstance(value, np.ndarray) or len(value) < count:
        raise TokenizerError(
            f"{GGML}{name}: expected a list of {count:,} numbers, one for each token"
        )
    numbers: list[Any] = value[:count].tolist()
    return numbers
