"""The patterns by which published byte-level tokenizers cut a text into words.

GPT-2's stands in `byte_level`; these came after it. Each matches every character of every text.
"""

from __future__ import annotations

from groundup.tokenizer import byte_level

_ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_REST_SLASH = _REST.replace(r"[\r\n]*", r"[\r\n/]*", 1)
_UPPER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}"
_LOWER = r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_CASED = (
    rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+",
    rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*",
)


def _words(numbers: str) -> str:
    return rf"{_ENDINGS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{numbers}|{_REST}"


LLAMA3 = _words(r"\p{N}{1,3}")
QWEN2 = _words(r"\p{N}")
SEED = QWEN2.replace(_REST, r" ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+")
TEKKEN = "|".join([*_CASED, r"\p{N}", _REST_SLASH])
GPT4O = "|".join([*(f"{c}{_ENDINGS}?" for c in _CASED), r"\p{N}{1,3}", _REST_SLASH])

SINGLE_DIGITS = byte_level.PATTERN.replace(r" ?\p{N}+", r"\p{N}").replace(
    r"\s+(?!\S)", r"\s+(?![^\s\p{N}])"
)
"""GPT-2's pattern between digits that are each a word: what stands before one is at an end."""
