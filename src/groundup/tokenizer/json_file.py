"""Any tokenizer.json, through the `tokenizers` library."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from groundup.base.errors import TokenizerError, quoted, shown
from groundup.tokenizer.byte_level import CHAR_TO_BYTE, to_bytes
from groundup.tokenizer.interface import ENDS, MARK, Ids, Tokenizer, to_utf8
from groundup.tokenizer.ranks import RankEncoder, rank_encoder
from groundup.tokenizer.rules import USUAL_GROWTH, are_known, growth
from groundup.tokenizer.spans import Spans
from groundup.tokenizer.trial import try_once

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Library

ONE_BYTE = re.compile("<0x[0-9A-Fa-f]{2}>")
"""A token of one byte, also an ASCII one: the library decodes a run of them whole or not at all."""

FAST_FROM = 1 << 18
"""Characters to be encoded before it is worth the time to make ready for speed."""

MOST_GROWN = 64 << 20
"""Bytes that a text may become by replacements; the library takes some 20 for each."""
FEW = 1024
"""Characters that are normalised at a time to see how far a text grows."""


class JSONTokenizer(Tokenizer):
    """A tokenizer.json of any model. Where its decoder alters text, a round trip may not be exact.

    `document` is the parsed file; what is wrong with it is a TokenizerError. `end` is the end of
    text where it is not the one that the file's own names tell.
    """

    kind = "json"

    def __init__(self, document: dict[str, Any], end: int | None = None) -> None:
        self._document = document
        added = document.get("added_tokens") or []
        special = {
            a["content"]: a["id"]
            for a in added
            if a["special"] or a["content"] in ENDS or a["id"] == end
        }
        self._special = special
        self._growth = growth(document.get("normalizer"))
        growth(document.get("decoder"), USUAL_GROWTH)
        marked = {**document, "added_tokens": _mark_special(added, special)}
        self._library = _load(marked, is_known=are_known(document))
        self._library.encode_special_tokens = True
        for token in added:
            name, number = token["content"], token["id"]
            if (right := self._library.token_to_id(name)) != number:
                raise TokenizerError(f"token {quoted(name)} has the id {number}, expected {right}")
        self._pieces = {n: piece for piece, n in self._library.get_vocab().items()}
        self._plain = {a["content"] for a in added if a["content"] not in special}
        self.vocab_size = max(self._pieces) + 1
        own = next((special[name] for name in ENDS if name in special), None)
        self.end_of_text = own if end is None else end
        self.given_end = None if end == own else end
        self.joins_bytes = (document.get("decoder") or {}).get("type") == "ByteLevel"
        model = document["model"]
        unknown = (special.get(model.get("unk_token")), model.get("unk_id"))
        named = self._library.token_to_id(model.get("unk_token") or "")
        self._unknown = [n for n in (named, model.get("unk_id")) if n is not None]
        self._silent = set(special.values())
        self._forbidden = {n for n in self._silent if n not in unknown or n == self.end_of_text}
        self._encoded = 0

    def encode_array(self, text: str) -> Ids:
        """Encode `text` to ids (n,) uint32; a text that cannot be expressed is a TokenizerError."""
        self._check(text)
        self._encoded += len(text)
        if self._encoded >= FAST_FROM and self._fast:
            known = self._fast.encode(text)
            if known is not None:
                return known
        return self._encode_by_library(text)

    def _check(self, text: str) -> None:
        """Refuse a text that cannot be expressed, or becomes far longer by replacements."""
        to_utf8(text)
        if self._growth <= USUAL_GROWTH or len(text) * self._growth <= MOST_GROWN:
            return
        normalize, grown = self._library.normalizer.normalize_str, 0
        for first in range(0, len(text), FEW):
            part = text[first : first + FEW]
            grown += len(library_call(partial(normalize, part)))
            if grown > max(MOST_GROWN, USUAL_GROWTH * first):
                raise TokenizerError(
                    f"{first + len(part):,} characters become {grown:,} by the replacements of "
                    "this tokenizer.json; use another tokenizer, or shorter texts"
                )

    def _ending(self, token: int) -> Self:
        return type(self)(self._document, token)

    def _encode_by_library(self, text: str) -> Ids:
        # The call for many texts, even for one: it is twice as fast, and holds no lock.
        encode = self._library.encode_batch_fast
        ids = library_call(lambda: encode([text], add_special_tokens=False)[0].ids)
        array = np.array(ids, dtype=np.uint32)
        if not np.isin(array, list(self._forbidden)).any():
            return array
        # Some models list special tokens among their words and find them in text: spell those out.
        spelt = [self._spell(token) if token in self._forbidden else [(0, token)] for token in ids]
        return np.array([token for tokens in spelt for _, token in tokens], dtype=np.uint32)

    def encode_spans(self, text: str) -> tuple[Ids, Spans]:
        """Return the ids (n,) of `encode(text)`, and the characters that each is of (n, 2).

        They are the library's own: where it composes characters, the first of them.
        """
        self._check(text)
        found = library_call(lambda: self._library.encode(text, add_special_tokens=False))
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        for token, (begin, end) in zip(found.ids, found.offsets, strict=True):
            if token not in self._forbidden:
                ids.append(token)
                spans.append((begin, end))
                continue
            for n, part in self._spell(token):
                ids.append(part)
                spans.append((min(begin + n, end), min(begin + n + 1, end)))
        return _arrays(ids, spans)

    def n_unknown(self, text: str) -> int:
        """Return how many characters of `text` become the token for what is unknown."""
        if not self._unknown:
            return 0
        ids, spans = self.encode_spans(text)
        begins, ends = spans[np.isin(ids, self._unknown)].T
        return int((ends - begins).sum())

    def markup_spans(self, text: str) -> tuple[Ids, Spans]:
        """Return the ids (n,) of `encode_markup(text)`, and the characters that each is of (n, 2).

        A special token that takes the space around it spans this, too.
        """
        if MARK in text:
            return super().markup_spans(text)
        found = self._marked_up(text)
        return _arrays(found.ids, found.offsets)

    @cached_property
    def _fast(self) -> RankEncoder | None:
        """What encodes the same several times faster, where there is such a thing."""
        return rank_encoder(self._document, self._library, self._plain)

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """The ids of the special tokens by name."""
        return self._special

    @property
    def added_tokens(self) -> Mapping[str, int]:
        """The ids of the special tokens, and of those that a text finds whole, but white space."""
        added = self._document.get("added_tokens") or []
        return {a["content"]: a["id"] for a in added if not a["content"].isspace()}

    def encode_markup(self, text: str) -> list[int]:
        """Encode `text` with its special tokens; those that are defused stay text.

        Where none is, this is the library's own encoding, whatever its special tokens do to the
        space around them; otherwise the pieces between them are encoded one by one.
        """
        if MARK in text:
            return super().encode_markup(text)
        ids: list[int] = self._marked_up(text).ids
        return ids

    def _marked_up(self, text: str) -> Any:
        """Return the library's own encoding of a text in which no special token is defused."""
        self._check(text)
        return library_call(lambda: self._with_special.encode(text, add_special_tokens=False))

    @cached_property
    def _with_special(self) -> Library:
        """The library as it is by itself: a special token that stands in a text is found."""
        return _load(self._document, is_known=True)  # but for what is special, as it was tried

    def _spell(self, special: int) -> list[tuple[int, int]]:
        """Return the ids of the characters of a special token's name, each with its place in it."""
        name, tokenize = self._pieces[special], self._library.model.tokenize
        found = library_call(
            lambda: [(n, t) for n, char in enumerate(name) for t in tokenize(char)]
        )
        return [(n, token.id) for n, token in found if token.id not in self._forbidden]

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes that `token` stands for; a special token stands for none.

        A tokenizer whose decoder joins tokens in its own way is a TokenizerError.
        """
        if not self.joins_bytes:
            raise TokenizerError("this tokenizer.json gives no exact bytes for a token; decode ids")
        (checked,) = self.checked([token])
        piece = self._pieces.get(checked, "")
        if checked in self._silent:
            return b""
        if piece in self._plain or any(char not in CHAR_TO_BYTE for char in piece):
            return piece.encode("utf-8")
        return to_bytes(piece)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Decode `ids` to bytes; an id outside the vocabulary is a TokenizerError."""
        return super().decode_bytes(ids) if self.joins_bytes else self.decode(ids).encode("utf-8")

    def decode(self, ids: Iterable[int]) -> str:
        """Decode `ids` to text; bytes that are not UTF-8 become U+FFFD."""
        if self.joins_bytes:
            return super().decode(ids)
        shown = [token for token in self.checked(ids) if token not in self._silent]
        text: str = library_call(lambda: self._library.decode(shown))
        return text

    def is_partial(self, token: int) -> bool:
        """Return whether `token` may hold a part of a character, which its neighbours complete."""
        return bool(ONE_BYTE.fullmatch(self._pieces.get(token, ""))) or super().is_partial(token)

    def to_json(self) -> str:
        """Return the file's content, its keys sorted."""
        return json.dumps(self._document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"

    def __reduce__(self) -> tuple[type[JSONTokenizer], tuple[dict[str, Any], int | None]]:
        # The library forgets on copying that special tokens are not to be found in text.
        return JSONTokenizer, (self._document, self.given_end)


def _mark_special(added: list[dict[str, Any]], special: dict[str, int]) -> list[dict[str, Any]]:
    return [token | {"special": token["content"] in special} for token in added]


def _arrays(ids: list[int], spans: list[tuple[int, int]]) -> tuple[Ids, Spans]:
    return np.array(ids, dtype=np.uint32), np.array(spans, dtype=np.int64).reshape(-1, 2)


def _load(document: dict[str, Any], *, is_known: bool) -> Library:
    """Return what the library makes of a document; one that is not known is tried before."""
    from tokenizers import Tokenizer as Library

    # A post-processor adds tokens, which nothing here asks for, and moves what is said of places.
    unused = {"truncation": None, "padding": None, "post_processor": None}
    text = json.dumps(document | unused)
    if not is_known:
        try_once(text)
    library: Library = library_call(lambda: Library.from_str(text))
    return library


def library_call(call: Callable[[], Any]) -> Any:
    """Return `call()`, with whatever the library refuses, or panics at, as a TokenizerError."""
    try:
        return call()
    except BaseException as error:
        is_panic = type(error).__name__ == "PanicException"  # the library's, and no Exception
        if not isinstance(error, Exception) and not is_panic:
            raise  # Ctrl-C
        reason = shown(str(error).partition("\n")[0], 200)
        raise TokenizerError(f"the tokenizers library says: {reason}") from None
