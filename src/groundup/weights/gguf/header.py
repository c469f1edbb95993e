"""The front of a GGUF file: every number in it is checked before it is used.

    magic, version, number of tensors, number of metadata
    metadata: key, type, value                       (an array: type and number of its values)
    tensors:  name, dimensions (the innermost first), kind, offset
    padding, then the tensors' bytes at their offsets

Every length is compared with what is left of the file before anything of that length is made.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from groundup.base.errors import RunError
from groundup.base.files import file_error
from groundup.weights.gguf.blocks import NAMES, OTHERS, TYPES, Entry

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32
STRING, ARRAY = 8, 9
SCALARS = {0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?",
           10: "<u8", 11: "<i8", 12: "<f8"}  # fmt: skip
"""numpy's name of each type of a number."""

MOST_KEYS = 1 << 16
MOST_TENSORS = 1 << 16
MOST_ITEMS = 1 << 20
"""In all arrays together; the largest vocabularies have some 850,000 tokens and merges."""
LARGEST_HEADER = 256 << 20
"""Bytes; that of the largest vocabularies takes some 20 MiB."""
LARGEST_ALIGNMENT = 1 << 20

WHOLE = "fetch or convert the file again"
VARIANTS = (
    "fetch another variant of the model: that with Q4_K_M, Q6_K or Q8_0 in its name, or one of "
    f"{', '.join(TYPES)}"
)


@dataclass(frozen=True)
class Header:
    """What a GGUF file says of itself: metadata by key, and its tensors by name."""

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, Entry]


def read_header(path: Path) -> Header:
    """Read and check the front of a GGUF file; what is wrong with it is a one-line RunError.

    Numbers become Python's, arrays of text lists, arrays of numbers numpy arrays.
    """
    try:
        if not (size := path.stat().st_size):
            raise RunError(f"{path}: the file is empty; {WHOLE}")
        with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as m:
            return _Scanner(path, m).header()
    except OSError as error:
        raise file_error(path, error) from error


class _Scanner:
    """Walks through the bytes once, from the first to the last of the header."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data, self.at = path, data, 0
        self.end = min(len(data), LARGEST_HEADER)
        self.items_left = MOST_ITEMS

    def header(self) -> Header:
        n_tensors, n_keys = self._counts()
        metadata: dict[str, Any] = {}
        for i in range(n_keys):
            key = self._string(f"key {i} of the metadata")
            if key in metadata:
                raise self._error(key, "stands twice in the metadata")
            metadata[key] = self._value(self._number("<u4", key), key)
        found = [self._entry(i) for i in range(n_tensors)]
        alignment = self._alignment(metadata)
        start = -(-self.at // alignment) * alignment
        tensors: dict[str, Entry] = {}
        for name, entry in found:
            if name in tensors:
                raise self._error(f"tensor {name}", "stands twice")
            if entry.offset % alignment:
                raise self._error(f"tensor {name}", f"offset {entry.offset} is not aligned")
            tensors[name] = entry._replace(offset=start + entry.offset)
        self._check_places(tensors)
        return Header(self.path, metadata, tensors)

    def _counts(self) -> tuple[int, int]:
        if self.data[:4] != MAGIC:
            raise RunError(f"{self.path}: no GGUF file (it does not begin with 'GGUF'); {WHOLE}")
        self.at = 4
        version = self._number("<u4", "the version")
        if version not in VERSIONS:
            order = " (written for big-endian machines)" if version & 0xFFFF == 0 else ""
            raise self._error("version", f"{version}{order} is not known, expected 2 or 3")
        counts = []
        for what, most, least in (("tensors", MOST_TENSORS, 24), ("metadata", MOST_KEYS, 13)):
            counts.append(count := self._number("<u8", f"the number of {what}"))
            if count > min(most, len(self.data) // least):
                raise self._error(f"the number of {what}", f"{count:,} is more than the file holds")
        return counts[0], counts[1]

    def _alignment(self, metadata: dict[str, Any]) -> int:
        alignment = metadata.get("general.alignment", ALIGNMENT)
        is_power = type(alignment) is int and alignment > 0 and not alignment & (alignment - 1)
        if not is_power or alignment > LARGEST_ALIGNMENT:
            raise self._error("general.alignment", f"{alignment!r} is not a small power of two")
        return int(alignment)

    def _entry(self, i: int) -> tuple[str, Entry]:
        name = self._string(f"the name of tensor {i}")
        what = f"tensor {name}"
        n_dims = self._number("<u4", what)
        if not 1 <= n_dims <= 4:
            raise self._error(what, f"{n_dims} dimensions, expected 1 to 4")
        shape = tuple(self._number("<u8", what) for _ in range(n_dims))[::-1]
        if 0 in shape:
            raise self._error(what, f"shape {shape} has no values")
        number = self._number("<u4", what)
        if number not in NAMES:
            kind = OTHERS.get(number, f"number {number}")
            raise self._error(what, f"its type {kind} cannot be read", VARIANTS)
        kind = NAMES[number]
        if shape[-1] % TYPES[kind].values:
            raise self._error(what, f"rows of {shape[-1]} in {kind} blocks of {TYPES[kind].values}")
        size = TYPES[kind].bytes_of(math.prod(shape))
        return name, Entry(self.path, shape, kind, self._number("<u8", what), size)

    def _check_places(self, tensors: dict[str, Entry]) -> None:
        """Refuse tensors that reach beyond the file or into each other."""
        end, before = 0, ""
        for name, entry in sorted(tensors.items(), key=lambda item: item[1].offset):
            if entry.offset < end:
                raise self._error(f"tensor {name}", f"lies over tensor {before}")
            end, before = entry.offset + entry.size, name
            if end > len(self.data):
                shape = " x ".join(map(str, entry.shape))
                raise self._error(
                    f"tensor {name}",
                    f"{shape} in {entry.kind} ends at byte {end:,} of {len(self.data):,}",
                )

    def _value(self, kind: int, key: str) -> Any:
        if kind == STRING:
            return self._string(key)
        if kind == ARRAY:
            return self._array(key)
        if kind not in SCALARS:
            raise self._error(key, f"type {kind} is not known")
        return self._number(SCALARS[kind], key)

    def _array(self, key: str) -> Any:
        kind, count = self._number("<u4", key), self._number("<u8", key)
        if kind != STRING and kind not in SCALARS:
            raise self._error(key, f"an array of type {kind} cannot be read")
        smallest = 8 if kind == STRING else np.dtype(SCALARS[kind]).itemsize
        if count > self.items_left or count * smallest > self.end - self.at:
            raise self._error(key, f"an array of {count:,} values is more than the file holds")
        self.items_left -= count
        if kind == STRING:
            return self._strings(count, key)
        start = self._skip(count * smallest, key)
        return np.frombuffer(self.data[start : self.at], dtype=SCALARS[kind])

    def _strings(self, count: int, key: str) -> list[str]:
        data, at, end, unpack = self.data, self.at, self.end, struct.Struct("<Q").unpack_from
        texts = []
        for _ in range(count):
            start = at + 8
            at = start + unpack(data, at)[0] if start <= end else end + 1
            if at > end:
                raise self._short(key)
            texts.append(data[start:at])
        self.at = at
        return [self._text(text, key) for text in texts]

    def _string(self, what: str) -> str:
        start = self._skip(self._number("<u8", what), what)
        return self._text(self.data[start : self.at], what)

    def _text(self, data: bytes, what: str) -> str:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise self._error(what, "is not UTF-8") from None

    def _number(self, dtype: str, what: str) -> Any:
        size = np.dtype(dtype).itemsize
        start = self._skip(size, what)
        value = np.frombuffer(self.data[start : self.at], dtype=dtype)[0]
        # A float32 is written as the shortest number that gives it back: 1e-05, not 9.99999975e-06.
        return float(str(value)) if dtype == "<f4" else value.item()

    def _skip(self, n_bytes: int, what: str) -> int:
        """Pass over `n_bytes` and return where they began."""
        if n_bytes > self.end - self.at:
            raise self._short(what)
        self.at += n_bytes
        return self.at - n_bytes

    def _short(self, what: str) -> RunError:
        if self.end < len(self.data):
            return self._error(what, f"reaches beyond the {self.end >> 20} MiB a header may have")
        return self._error(what, "the file ends in the middle of it")

    def _error(self, what: str, why: str, remedy: str = WHOLE) -> RunError:
        named = repr(what)[1:-1][:100]  # a name from the file may hold anything, line breaks too
        return RunError(f"{self.path}: {named}: {why}; {remedy}")
