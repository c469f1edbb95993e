"""TensorFlow's checkpoints without TensorFlow: the tensors that an .index says are in .data files.

The index is a sorted table as LevelDB has them (blocks of keys that share their beginnings, a block
that points to those, and a footer that points to that), whose values are protocol buffers: of the
empty key how many .data files there are, and of each name a BundleEntryProto with number format,
shape and place. Every length is compared with what is there before it is used.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from groundup.base.errors import RunError, shown
from groundup.base.files import file_error
from groundup.base.regular import open_regular, read_bytes
from groundup.runs.tensor_file import Stored

FOOTER = 48
MAGIC = bytes.fromhex("57fb808b247547db")
LARGEST_INDEX = 4 << 20
MOST_TENSORS, LONGEST_NAME, MOST_DIMENSIONS = 20_000, 512, 8
FLOAT = 1
"""Of TensorFlow's number formats the one that is read: fp32."""
DTYPE, SHAPE, SHARD, OFFSET, SIZE, SLICES = 1, 2, 3, 4, 5, 7
"""Fields of a BundleEntryProto."""
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""How a field of a protocol buffer is written."""
Fields = dict[int, list[int | bytes]]


class _Entry(NamedTuple):
    shape: tuple[int, ...]
    file: Path
    offset: int
    size: int


def read_tensors(index: Path) -> dict[str, Stored]:
    """Return the tensors of a checkpoint by name, none of them read; only fp32 is known.

    A damaged index, and one that names what is not there, is a one-line `RunError`.
    """
    try:
        table = dict(_table(read_bytes(index, LARGEST_INDEX)))
        header = _fields(table.pop(b"", b""))
        n_files, is_big_endian = _number(header, 1), _number(header, 2)
        if is_big_endian:
            raise ValueError("its numbers are written with their largest byte first")
        entries = {
            name.decode("utf-8"): _entry(name, _fields(raw), index, n_files)
            for name, raw in table.items()
        }
    except ValueError as error:
        raise RunError(
            f"{index}: no index of a TensorFlow checkpoint: {error}; fetch it again"
        ) from None
    except OSError as error:
        raise file_error(index, error) from error
    sizes = {entry.file: _size(entry.file, index) for entry in entries.values()}
    for name, entry in entries.items():
        if entry.offset + entry.size > sizes[entry.file]:
            raise RunError(
                f"{entry.file}: {shown(name)} is said to end at byte {entry.offset + entry.size:,}"
                f", but there are {sizes[entry.file]:,}; fetch it again"
            )
    return {
        name: Stored(entry.shape, torch.float32, partial(_read, entry))
        for name, entry in entries.items()
    }


def _size(file: Path, index: Path) -> int:
    if not file.is_file():
        raise RunError(f"{index} names {file.name}, which is not beside it; fetch it as well")
    return file.stat().st_size


def _read(entry: _Entry) -> Tensor:
    with open_regular(entry.file) as opened:
        opened.seek(entry.offset, os.SEEK_SET)
        raw = opened.read(entry.size)
    if len(raw) != entry.size:
        raise RunError(f"{entry.file}: it changed while it was read; fetch it again")
    return torch.from_numpy(np.frombuffer(raw, "<f4").reshape(entry.shape).copy())


def _entry(name: bytes, fields: Fields, index: Path, n_files: int) -> _Entry:
    """Return what the index says of a tensor; what is no plain tensor is refused by its name."""
    called = shown(name.decode("utf-8"))
    shape = tuple(
        _number(_fields(size), 1)
        for shape in fields.get(SHAPE, [])
        for size in _fields(shape).get(2, [])
    )
    dtype, size, shard = (_number(fields, key) for key in (DTYPE, SIZE, SHARD))
    if dtype != FLOAT or SLICES in fields:
        raise ValueError(f"{called} is no plain tensor of 32-bit floating-point numbers")
    if len(shape) > MOST_DIMENSIONS or 4 * math.prod(shape) != size:
        raise ValueError(f"{called} is {shape}, but has {size:,} bytes")
    if shard >= n_files:
        raise ValueError(f"{called} is in file {shard:,} of {n_files:,}")
    file = index.with_suffix(f".data-{shard:05d}-of-{n_files:05d}")
    return _Entry(shape, file, _number(fields, OFFSET), size)


def _table(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a table, all of its blocks in order."""
    if len(raw) < FOOTER or raw[-len(MAGIC) :] != MAGIC:
        raise ValueError("its end is not that of one")
    at = len(raw) - FOOTER
    for _ in range(2):  # a block of other things comes first
        _, at = _varint(raw, at)
    handles = _block(raw, *_handle(raw, at))
    n_found = 0
    for _, handle in handles:
        for key, value in _block(raw, *_handle(handle, 0)):
            n_found += 1
            if n_found > MOST_TENSORS:
                raise ValueError(f"it has more than {MOST_TENSORS:,} tensors")
            yield key, value


def _handle(raw: bytes, at: int) -> tuple[int, int]:
    """Return where a block begins and how many bytes it has."""
    offset, at = _varint(raw, at)
    size, _ = _varint(raw, at)
    return offset, size


def _block(raw: bytes, offset: int, size: int) -> list[tuple[bytes, bytes]]:
    """Return the keys and values of a block: each key begins as the one before it."""
    end = offset + size
    if size < 4 or end >= len(raw):
        raise ValueError("a block ends beyond it")
    if raw[end]:
        raise ValueError("a block is compressed")
    n_restarts = int.from_bytes(raw[end - 4 : end], "little")
    end -= 4 * (n_restarts + 1)
    found: list[tuple[bytes, bytes]] = []
    at, key = offset, b""
    while at < end and len(found) <= MOST_TENSORS:
        (n_shared, at), (n_own, at), (n_value, at) = _three(raw, at)
        if n_shared > len(key) or n_shared + n_own > LONGEST_NAME or at + n_own + n_value > end:
            raise ValueError("an entry of a block is longer than it")
        key = key[:n_shared] + raw[at : at + n_own]
        at += n_own + n_value
        found.append((key, raw[at - n_value : at]))
    return found


def _three(raw: bytes, at: int) -> list[tuple[int, int]]:
    found = []
    for _ in range(3):
        value, at = _varint(raw, at)
        found.append((value, at))
    return found


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """Return a number of 7 bits a byte, the lowest first, and where it ends."""
    value = 0
    for place in range(10):
        if not 0 <= at + place < len(raw):
            break
        byte = raw[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("a number does not end")


def _fields(raw: int | bytes) -> Fields:
    """Return the fields of a protocol buffer by their numbers."""
    if isinstance(raw, int):
        raise ValueError("a number stands where a message is expected")
    found: Fields = {}
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        kind, value = tag & 7, b""
        if kind == VARINT:
            number, at = _varint(raw, at)
            found.setdefault(tag >> 3, []).append(number)
            continue
        if kind == LENGTH:
            length, at = _varint(raw, at)
        elif kind in (FIXED32, FIXED64):
            length = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"a field is written in an unknown way ({kind})")
        if at + length > len(raw):
            raise ValueError("a field ends beyond its message")
        value, at = raw[at : at + length], at + length
        found.setdefault(tag >> 3, []).append(value)
    return found


def _number(fields: Fields, key: int) -> int:
    """Return a number of a message, 0 where it is left out; the last one counts."""
    value = fields.get(key, [0])[-1]
    if not isinstance(value, int) or value >= 1 << 63:
        raise ValueError("a field is no number, where one is expected")
    return value
