"""GPT-2's way of splitting text into words and of writing bytes as visible characters.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2.
"""

from __future__ import annotations

from typing import Any

PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""No merge crosses the pieces that this pattern cuts a text into."""

# A tokenizer.json holds text, so each byte is written as one visible character: a printable byte
# of Latin-1 as itself, the n-th of the others as code point 256 + n.
_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]

BYTE_ORDER = [*_PRINTABLE, *_OTHERS]
"""The bytes in the order in which GPT-2 numbers them."""

BYTE_TO_CHAR = {byte: chr(byte) for byte in _PRINTABLE} | {
    byte: chr(256 + n) for n, byte in enumerate(_OTHERS)
}
CHAR_TO_BYTE = {char: byte for byte, char in BYTE_TO_CHAR.items()}

DECODER = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


def pre_tokenizer(*, use_regex: bool) -> dict[str, Any]:
    """Return the part of a tokenizer.json that turns text into visible bytes."""
    return DECODER | {"use_regex": use_regex}


def to_chars(data: bytes) -> str:
    """Write bytes as visible characters, one each."""
    return "".join([BYTE_TO_CHAR[byte] for byte in data])


def to_bytes(text: str) -> bytes:
    """Read back what `to_chars` wrote; another character is a KeyError."""
    return bytes([CHAR_TO_BYTE[char] for char in text])
