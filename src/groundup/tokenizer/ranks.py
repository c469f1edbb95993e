"""Merging by rank, as tiktoken does it: the same ids as a tokenizer.json's merges, much faster.

A tokenizer.json lists the pairs that merge, the first one first. tiktoken is told tokens and their
ranks alone: it merges the two neighbours that together are the token of the lowest rank, and takes
a word that is a token whole. Here stands when the two are the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from groundup.tokenizer import byte_level, patterns
from groundup.tokenizer.byte_level import CHAR_TO_BYTE, to_bytes, to_chars
from groundup.tokenizer.interface import END_OF_TEXT, Ids

if TYPE_CHECKING:
    from tiktoken import Encoding
    from tokenizers import Tokenizer as Library

Merges = list[tuple[bytes, bytes]]

KNOWN_PATTERNS = (patterns.LLAMA3, patterns.QWEN2, patterns.TEKKEN, patterns.GPT4O)
"""Patterns that tiktoken's engine and the library's are known to read alike, by test."""

# No normalisation changes a text of these: the first that compose or decompose are U+0300 and, of
# punctuation, U+2000 and U+2001.
_COMPOSABLE = re.compile("[^\\0-\u02ff\u2002-\u206f]")


def rank_encoding(ranks: dict[bytes, int], pattern: str) -> Encoding:
    """Return tiktoken's encoder of these tokens, for texts cut by `pattern`."""
    from tiktoken import Encoding

    # tiktoken looks for special tokens at every character when it knows none, at half the speed;
    # this one is never allowed, so that no text becomes it.
    never = {END_OF_TEXT: max(ranks.values()) + 1}
    return Encoding("groundup", pat_str=pattern, mergeable_ranks=ranks, special_tokens=never)


def encode_by_rank(encoding: Encoding, text: str) -> Ids:
    """Encode `text` to ids (n,) uint32.

    A lone surrogate is a UnicodeEncodeError; a white space so long that the pattern engine gives
    up, a ValueError.
    """
    # The call inside tiktoken that hands its buffer over: no list, and no lock held.
    buffer = encoding._core_bpe.encode_to_tiktoken_buffer(text, frozenset())
    return np.frombuffer(buffer, dtype=np.uint32)


def listed_merges(merges: Any) -> Merges:
    """Return the pairs, written "left right" or [left, right]; empty where they are neither."""
    try:
        pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in merges]
        return [(to_bytes(left), to_bytes(right)) for left, right in pairs]
    except (TypeError, ValueError, KeyError, AttributeError):
        return []


def unreached(words: dict[str, int], merges: Merges) -> list[bytes]:
    """Return the tokens that the merges do not make of the token's own bytes.

    Where there are none, and merges stand in the order of the tokens that they make, merging by
    rank is the same. Say that both have come the same way to neighbours l, r in a text, and l + r
    is a token. Nothing has joined across the ends of l + r, so that its bytes alone come to l, r as
    well; as they end as one token, the merges list l, r. So both may join the same neighbours, and
    no token is ever to be had from two different pairs: the order is the same, too.
    """
    from tokenizers import models

    pairs = [(to_chars(left), to_chars(right)) for left, right in merges]
    bpe = models.BPE(vocab=words, merges=pairs)
    return [to_bytes(word) for word in words if len(word) > 1 and len(bpe.tokenize(word)) != 1]


@dataclass(frozen=True)
class RankEncoder:
    """Encodes as a tokenizer.json does, or says that it cannot tell."""

    encoding: Encoding
    n_ids: int
    """From here on ids stand for bytes that no token has."""
    is_doubtful: Callable[[str], bool]
    """Whether only the library can encode a text."""
    normalize: Callable[[str], str]

    def encode(self, text: str) -> Ids | None:
        """Return the ids (n,) of a text without lone surrogates; None: ask the library."""
        normal = self.normalize(text)
        if self.is_doubtful(text) or (normal != text and self.is_doubtful(normal)):
            return None
        try:
            ids = encode_by_rank(self.encoding, normal)
        except ValueError:
            return None
        return None if ids.size and ids.max() >= self.n_ids else ids


def rank_encoder(
    document: dict[str, Any], library: Library, found_in_text: Iterable[str]
) -> RankEncoder | None:
    """Return the quick equal of a byte-level BPE, None where it is not certain to be one.

    `library` is what the `tokenizers` library makes of the document; `found_in_text` are the added
    tokens that it finds wherever a text spells them.
    """
    model = document["model"]
    pattern, normalizer = _pattern(document.get("pre_tokenizer")), document.get("normalizer")
    if not pattern or normalizer not in (None, {"type": "NFC"}) or not is_plain_bpe(model):
        return None
    names = {token["content"] for token in document.get("added_tokens") or []}
    words = {word: n for word, n in model["vocab"].items() if word not in names}
    merges = listed_merges(model.get("merges"))
    if not all(char in CHAR_TO_BYTE for word in words for char in word):
        return None
    ranks = {to_bytes(word): n for word, n in words.items()}
    if not _merges_by_rank(ranks, words, merges, bool(model.get("ignore_merges"))):
        return None
    cut = library.pre_tokenizer.pre_tokenize_str
    if any(len(cut(name)) < 2 for name in names & model["vocab"].keys()):
        return None  # a word of a text could be this name
    n_ids = max(ranks.values()) + 1
    bytes_of_none = {bytes([b]): n_ids + b for b in range(256) if bytes([b]) not in ranks}
    return RankEncoder(
        rank_encoding(ranks | bytes_of_none, pattern),
        n_ids,
        _doubtful_texts(found_in_text, digits=pattern == patterns.SINGLE_DIGITS),
        (lambda text: text) if normalizer is None else _composer(library),
    )


def is_plain_bpe(model: dict[str, Any]) -> bool:
    """Whether the model is BPE, its vocabulary a table, without chance and without affixes."""
    changes = ("dropout", "continuing_subword_prefix", "end_of_word_suffix")
    is_bpe = model.get("type", "BPE") == "BPE" and isinstance(model["vocab"], dict)
    return is_bpe and not any(model.get(key) for key in changes)


def _merges_by_rank(
    ranks: dict[bytes, int], words: dict[str, int], merges: Merges, whole_words: bool
) -> bool:
    """Whether merging by rank is merging as listed; see `unreached`.

    Where `whole_words` that are tokens are taken whole, some are made in no other way. They do no
    harm if every pair that would make one is listed: were its bytes to come to such a pair, the
    merges would make it.
    """
    made = [ranks.get(left + right, -1) for left, right in merges]
    if not made or min(made) < 0 or made != sorted(made):
        return False
    rest, listed = unreached(words, merges), set(merges)
    if rest and not whole_words:
        return False
    pairs = [(token[:n], token[n:]) for token in rest for n in range(1, len(token))]
    return all(p in listed for p in pairs if p[0] in ranks and p[1] in ranks)


def _pattern(pre_tokenizer: Any) -> str | None:
    """Return the pattern by which tiktoken cuts as this part of a tokenizer.json does."""
    part = pre_tokenizer or {}
    match part.get("pretokenizers", [part]):
        case [{"type": "ByteLevel", "add_prefix_space": False} as words] if _uses_regex(words):
            return byte_level.PATTERN
        case [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "add_prefix_space": False} as words,
        ] if _uses_regex(words):
            return patterns.SINGLE_DIGITS
        case [
            {"type": "Split", "pattern": {"Regex": known}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
        ] if known in KNOWN_PATTERNS:
            return str(known)
    return None


def _uses_regex(words: dict[str, Any]) -> bool:
    return words.get("use_regex", True) is True


def _composer(library: Library) -> Callable[[str], str]:
    """Return the library's own normaliser, called only for texts that it may change."""
    normalizer = library.normalizer

    def compose(text: str) -> str:
        return str(normalizer.normalize_str(text)) if _COMPOSABLE.search(text) else text

    return compose


def _doubtful_texts(names: Iterable[str], *, digits: bool) -> Callable[[str], bool]:
    """Tell whether a text has an added token that the library finds, or a disputed digit."""
    spelt = re.compile("|".join(map(re.escape, names)) or "(?!)")

    def is_doubtful(text: str) -> bool:
        if spelt.search(text):
            return True
        return digits and not text.isascii() and any(map(_is_disputed_digit, set(text)))

    return is_doubtful


def _is_disputed_digit(char: str) -> bool:
    """Whether a character may be a digit in one version of Unicode and nothing in another.

    The library and tiktoken do not follow Unicode at the same pace. What was a digit in 3.2 is one
    for both; any other that is one today, or may become one, is not relied on.
    """
    kinds = ("Nd", "Nl", "No", "Cn")
    is_old = unicodedata.ucd_3_2_0.category(char).startswith("N")
    return unicodedata.category(char) in kinds and not is_old
