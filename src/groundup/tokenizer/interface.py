"""What every tokenizer can do."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from groundup.base.errors import TokenizerError, quoted
from groundup.base.files import write_text
from groundup.tokenizer.arguments import check_text, id_array
from groundup.tokenizer.spans import Spans, spans_of_bytes, spans_with_marks

Ids = npt.NDArray[np.uint32]

END_OF_TEXT = "<|endoftext|>"
ENDS = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>", "[SEP]")
"""What the special token that ends a text is called, the likeliest first."""
MORE_ENDS = ("<|eos|>", "[EOS]", "<EOS>", "<end_of_text>", "<|end_of_document|>", "<END>", "[END]")
"""Further names of it, by which `end.py` finds one; those above hold for every tokenizer.json."""

REPLACEMENT = "\ufffd"
"""What stands for bytes that are not UTF-8."""

MARK = "\U000f0000"
"""A character without meaning (private use) that stands in a special token's name to defuse it."""


class Tokenizer(ABC):
    """A fixed vocabulary: text to ids and back, stored as a tokenizer.json.

    Text never encodes to a special token, whatever it spells; special tokens decode to nothing.
    """

    kind: str
    vocab_size: int
    end_of_text: int | None

    given_end: int | None = None
    """The end of text where it is not the vocabulary's own: its tokenizer.json does not tell it."""

    joins_bytes = True
    """Whether decoding is nothing but the bytes of the tokens, one after the other."""

    @abstractmethod
    def encode_array(self, text: str) -> Ids:
        """Encode `text` to ids (n,) uint32; a text that cannot be expressed is a TokenizerError."""

    @abstractmethod
    def token_bytes(self, token: int) -> bytes:
        """Return the bytes that `token` stands for; a special token stands for none."""

    @abstractmethod
    def to_json(self) -> str:
        """Return the text of a tokenizer.json with which other libraries encode the same."""

    def encode(self, text: str) -> list[int]:
        """Encode `text` to a list of ids; a text that cannot be expressed is a TokenizerError."""
        check_text(text, "encode")
        ids: list[int] = self.encode_array(text).tolist()
        return ids

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """The ids of the special tokens by name."""
        return {}

    @property
    def added_tokens(self) -> Mapping[str, int]:
        """The ids of all tokens that markup finds whole: the special ones, and ordinary ones."""
        return self.special_tokens

    def ending(self, token: int) -> Self:
        """Return this tokenizer with the end of text `token`; what is no id is a TokenizerError."""
        if type(token) is not int or not 0 <= token < self.vocab_size:
            expected = f"a token id from 0 to {self.vocab_size - 1}"
            raise TokenizerError(f"end of text {quoted(token)}: expected {expected}")
        return self if token == self.end_of_text else self._ending(token)

    def _ending(self, token: int) -> Self:
        other = copy.copy(self)
        other.end_of_text = other.given_end = token
        return other

    def n_unknown(self, text: str) -> int:
        """Return how many characters of `text` are skipped, or read as no more than unknown."""
        return 0

    @property
    def ending_rule(self) -> str:
        """Say in words which token ends a document."""
        end = self.end_of_text
        if end is None:
            return "no token ends a document"
        names = {token: name for name, token in self.special_tokens.items()}
        name = names.get(end) or repr(self.decode([end]))
        return f"each document ends with {name} (id {end})"

    def defuse(self, text: str) -> str:
        """Return `text` with a `MARK` in every special token that it spells.

        It may then stand in a text for `encode_markup`. A mark that was there before is left out.
        """
        text = text.replace(MARK, "")
        return re.sub(f"(?={self._specials.pattern})(.)", rf"\2{MARK}", text, flags=re.DOTALL)

    def encode_markup(self, text: str) -> list[int]:
        """Encode `text` with its special tokens; those that are defused stay text.

        The marks change nothing else: words merge across them as if they were not there.
        """
        ids: list[int] = []
        for n, piece in enumerate(self._specials.split(text)):
            plain = n % 2 == 0
            ids += self.encode(piece.replace(MARK, "")) if plain else [self.special_tokens[piece]]
        return ids

    def encode_spans(self, text: str) -> tuple[Ids, Spans]:
        """Return the ids (n,) of `encode(text)`, and the characters that each is of (n, 2).

        An id that is but a part of a character spans the whole of it. Where a tokenizer alters
        texts, a character that it drops belongs to no id, and what it adds spans nothing.
        """
        ids = self.encode_array(text)
        known, which = np.unique(ids, return_inverse=True)
        lengths = np.array([len(self.token_bytes(n)) for n in known.tolist()], dtype=np.int64)
        return ids, spans_of_bytes(text, lengths[which])

    def markup_spans(self, text: str) -> tuple[Ids, Spans]:
        """Return the ids (n,) of `encode_markup(text)`, and the characters that each is of (n, 2).

        They are counted in `text` as it is given, with the marks that defuse.
        """
        ids: list[Ids] = []
        spans: list[Spans] = []
        at = 0
        for n, piece in enumerate(self._specials.split(text)):
            if n % 2:
                found = np.array([self.special_tokens[piece]], dtype=np.uint32)
                where = np.array([[0, len(piece)]])
            else:
                found, plain = self.encode_spans(piece.replace(MARK, ""))
                where = spans_with_marks(piece, MARK, plain)
            ids.append(found)
            spans.append(where + at)
            at += len(piece)
        return np.concatenate(ids), np.concatenate(spans)

    @cached_property
    def _specials(self) -> re.Pattern[str]:
        """Finds the name of a special token that no mark defuses, the longest at a place."""
        names = sorted(self.special_tokens, key=len, reverse=True)
        spelt = [f"{re.escape(name[0])}(?!{MARK}){re.escape(name[1:])}" for name in names]
        return re.compile(f"({'|'.join(spelt) or '(?!)'})")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Decode `ids` to bytes; an id outside the vocabulary is a TokenizerError."""
        return b"".join(map(self.token_bytes, self.checked(ids)))

    def decode(self, ids: Iterable[int]) -> str:
        """Decode `ids` to text; bytes that are not UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def is_partial(self, token: int) -> bool:
        """Return whether `token` may hold a part of a character, which its neighbours complete."""
        return REPLACEMENT in self.decode([token])

    def checked(self, ids: Iterable[int]) -> list[int]:
        """Return `ids`, a row of whole numbers, as Python's; each must be in the vocabulary."""
        array = id_array(ids)
        if array.size and (array.min() < 0 or array.max() >= self.vocab_size):
            wrong = array[(array < 0) | (array >= self.vocab_size)][0]
            raise TokenizerError(
                f"token id {wrong}: expected 0 to {self.vocab_size - 1}; these ids are of another "
                "tokenizer"
            )
        checked: list[int] = array.tolist()
        return checked

    def save(self, path: str | Path) -> None:
        """Write the tokenizer.json, atomically."""
        write_text(Path(path), self.to_json())

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the tokenizer.json: equal for equal tokenizers, also after a reload."""
        return hashlib.sha256(self.to_json().encode("utf-8")).hexdigest()

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(kind={self.kind!r}, vocab_size={self.vocab_size}, "
            f"end_of_text={self.end_of_text})"
        )


def to_utf8(text: str) -> bytes:
    """Return `text` as UTF-8; a lone surrogate, which UTF-8 cannot express, is a TokenizerError."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise lone_surrogate(error) from None


def lone_surrogate(error: UnicodeEncodeError) -> TokenizerError:
    """Turn Python's refusal of a lone surrogate into one line."""
    code = ord(error.object[error.start])
    return TokenizerError(
        f"character U+{code:04X} at position {error.start}: a lone surrogate is not valid Unicode; "
        "remove it, or read the text with errors='replace'"
    )


def tokenizer_json(
    model: dict[str, Any],
    *,
    pre_tokenizer: dict[str, Any] | None,
    decoder: dict[str, Any],
    special: dict[str, int],
) -> str:
    """Lay out a tokenizer.json (the format of the `tokenizers` library) in one canonical way."""
    added = [added_token(token, content, special=True) for content, token in special.items()]
    document = tokenizer_document(model, added, None, pre_tokenizer, decoder)
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def tokenizer_document(
    model: dict[str, Any],
    added: list[dict[str, Any]],
    normalizer: dict[str, Any] | None,
    pre_tokenizer: dict[str, Any] | None,
    decoder: dict[str, Any],
) -> dict[str, Any]:
    """Return the content of a tokenizer.json that adds no token of its own to a text."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": decoder,
        "model": model,
    }


def added_token(token: int, content: str, *, special: bool) -> dict[str, Any]:
    """Return one of the `added_tokens` of a tokenizer.json: found as it is, wherever it stands."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": token, "content": content, **flags, "special": special}


def bpe_model(vocab: dict[str, int], merges: Sequence[str | list[str]]) -> dict[str, Any]:
    """Return the `model` part of a tokenizer.json of byte-pair encoding."""
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": vocab,
        "merges": merges,
    }
