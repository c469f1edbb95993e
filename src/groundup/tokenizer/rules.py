"""What the rules of a tokenizer.json may do to a text: whether they are known, how far it grows.

A normaliser, a pre-tokenizer and a decoder are small programs by somebody else: replacements that
multiply, patterns that never come to an end. What published tokenizers are made of does neither,
and is told by name here; of the rest is said how many bytes it can make of one, at most.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from groundup.base.errors import TokenizerError
from groundup.tokenizer import byte_level
from groundup.tokenizer.ranks import KNOWN_PATTERNS, is_plain_bpe

USUAL_GROWTH = 100
"""Bytes made of one by rules that need no watching; those of Llama 2 may make 12."""
MOST_GROWTH = 4096
"""Bytes made of one; no published rules can make more than 1,500, nor do make more than 11."""
MOST_ADDED = 1 << 18
"""Characters in all added tokens; Gemma's 6,400 have some 80,000. A megabyte takes seconds."""
LONGEST_WORD = 1000
"""Characters of a word that WordPiece looks up, in time that grows with their square."""

SEQUENCES = ("normalizers", "pretokenizers", "decoders")
STEPS = ("normalizer", "pre_tokenizer", "decoder")
KNOWN = {
    "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "BertNormalizer",
    "ByteLevel", "Digits", "Whitespace", "WhitespaceSplit", "BertPreTokenizer", "Punctuation",
    "UnicodeScripts", "Metaspace", "ByteFallback", "Fuse",
}  # fmt: skip
"""Parts that do the same in every file, whatever their settings."""
GROWTH = {"NFC": 3, "NFD": 3, "NFKC": 11, "NFKD": 11, "Lowercase": 2, "BertNormalizer": 6,
          "ByteLevel": 3, "Metaspace": 4, "WordPiece": 2, "CTC": 2}  # fmt: skip
"""Bytes of UTF-8 that these may make of one; others not in the list make one at most."""


def are_known(document: dict[str, Any]) -> bool:
    """Whether all that a tokenizer.json does is known to do no harm, whatever its vocabulary."""
    model = document["model"]
    words = is_plain_bpe(model) or (
        model.get("type") == "WordPiece"
        and model.get("max_input_chars_per_word", 0) in range(LONGEST_WORD)
        and len(model.get("continuing_subword_prefix", "")) < 5
    )
    steps = [document.get(step) for step in STEPS]
    added = document.get("added_tokens") or []
    return (
        (words or model.get("type") == "WordLevel")
        and sum(len(token["content"]) for token in added) <= MOST_ADDED
        and all(_is_known(part) for step in steps for part in parts(step))
        and growth(document.get("normalizer")) <= USUAL_GROWTH
    )


def parts(step: Any) -> Iterator[dict[str, Any]]:
    """Yield the parts of a normaliser, pre-tokenizer or decoder, of a sequence one by one."""
    todo = [step]
    while todo:
        part = todo.pop(0)
        inner = [part[key] for key in SEQUENCES if key in part] if isinstance(part, dict) else []
        if inner and isinstance(inner[0], list):
            todo = inner[0] + todo
        elif isinstance(part, dict):
            yield part


def _is_known(part: dict[str, Any]) -> bool:
    match part:
        case {"type": str(kind)} if kind in KNOWN:
            return True
        case {"type": "Split", "pattern": {"Regex": pattern}}:
            return pattern in (byte_level.PATTERN, *KNOWN_PATTERNS)
        case {"type": "Split", "pattern": {"String": str(text)}}:
            return bool(text)
        case {"type": "Replace", "pattern": {"String": str(text)}, "content": str()}:
            return bool(text)
        case {"type": "Prepend", "prepend": str()} | {"type": "WordPiece", "prefix": str()}:
            return True
        case {"type": "Strip", "strip_left": bool(), "strip_right": bool()}:
            return True
        case {"type": "Strip", "start": int(), "stop": 0}:  # one that stops may break down
            return True
    return False


def growth(step: Any, most: int = MOST_GROWTH) -> int:
    """Return how many bytes a normaliser or decoder can make of one; over `most` is refused."""
    grown = 1
    for part in parts(step):
        grown *= _growth(part)
        if grown > most:
            raise TokenizerError(
                f"its replacements can make {grown:,} bytes of one, expected {most:,} at most"
            )
    return grown


def _growth(part: dict[str, Any]) -> int:
    match part:
        case {"type": "Replace", "pattern": {"String": str(text)}, "content": str(new)} if text:
            return max(1, -(-_size(new) // _size(text)))
        case {"type": "Replace", "content": str(new)}:  # a pattern may match between two characters
            return 1 + _size(new)
        case {"type": "Prepend", "prepend": str(text)} | {"type": "WordPiece", "prefix": str(text)}:
            return 1 + _size(text)
        case {"type": "Precompiled", "precompiled_charsmap": str(packed)}:
            return _longest_replacement(packed)
    return GROWTH.get(str(part.get("type")), 1)


def _size(text: str) -> int:
    return len(text.encode("utf-8"))


def _longest_replacement(packed: str) -> int:
    """Return the bytes of the longest text in SentencePiece's table of replacements.

    It is the size of a trie, this, and the texts, each ended by a NUL.
    """
    try:
        raw = base64.b64decode(packed, validate=True)
    except ValueError:
        raise TokenizerError("'precompiled_charsmap' is not base64") from None
    texts = raw[4 + int.from_bytes(raw[:4], "little") :]
    return max(1, *map(len, texts.split(b"\0")))
