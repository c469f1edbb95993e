"""How GGUF stores numbers: plain, or in blocks of few bits that share a scale.

A block is a run of neighbours in a row, so any whole number of blocks can be read by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from groundup.base.errors import RunError, UsageError
from groundup.base.files import file_error

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


class Kind(NamedTuple):
    """A way to store values: its number in the file, values in a block, bytes of a block."""

    number: int
    values: int
    size: int

    def bytes_of(self, n_values: int) -> int:
        """Return the bytes that `n_values`, a whole number of blocks, take."""
        return n_values // self.values * self.size


class Entry(NamedTuple):
    """A tensor in a file: shape (outermost first), kind, where its bytes begin, how many."""

    path: Path
    shape: tuple[int, ...]
    kind: str
    offset: int
    size: int


TYPES = {
    "F32": Kind(0, 1, 4),
    "F16": Kind(1, 1, 2),
    "BF16": Kind(30, 1, 2),
    "Q4_0": Kind(2, 32, 18),
    "Q4_1": Kind(3, 32, 20),
    "Q5_0": Kind(6, 32, 22),
    "Q5_1": Kind(7, 32, 24),
    "Q8_0": Kind(8, 32, 34),
    "Q2_K": Kind(10, 256, 84),
    "Q3_K": Kind(11, 256, 110),
    "Q4_K": Kind(12, 256, 144),
    "Q5_K": Kind(13, 256, 176),
    "Q6_K": Kind(14, 256, 210),
    "IQ4_NL": Kind(20, 32, 18),
    "IQ4_XS": Kind(23, 256, 136),
    "MXFP4": Kind(39, 32, 17),
}

NAMES = {kind.number: name for name, kind in TYPES.items()}

OTHERS = {
    9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 21: "IQ3_S",
    22: "IQ2_S", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0",
    35: "TQ2_0", 40: "NVFP4",
}  # fmt: skip
"""What else llama.cpp has, by name, to be refused by name."""

PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}

CHUNK = 1 << 20
"""Values converted at a time, so that the steps in between stay small."""


def dtype_of(kind: str) -> torch.dtype:
    """Return the dtype that values of `kind` are read as; blocks become float32."""
    return PLAIN.get(kind, torch.float32)


def read_values(entry: Entry, first: int, count: int) -> Tensor:
    """Read `count` values of a tensor, row after row, from its value `first` on, as (count,)."""
    kind = TYPES[entry.kind]
    if first % kind.values or count % kind.values:
        raise RunError(
            f"{entry.path}: a tensor in blocks of {kind.values} cannot be cut at {first}"
        )
    packed = torch.empty(kind.bytes_of(count), dtype=torch.uint8)
    try:
        with entry.path.open("rb", buffering=0) as file:
            file.seek(entry.offset + kind.bytes_of(first))
            got = _fill(file, packed.numpy().data)
    except OSError as error:
        raise file_error(entry.path, error) from error
    if got < len(packed):
        raise RunError(f"{entry.path}: the file became shorter while it was read; copy it again")
    if entry.kind in PLAIN:
        return packed.view(PLAIN[entry.kind])
    return _decode(packed.numpy(), entry.kind)


def _fill(file: Any, room: memoryview) -> int:
    """Read until `room` is full or the file ends: one call gives 2 GiB at most."""
    done = 0
    while done < len(room) and (n := file.readinto(room[done:])):
        done += n
    return done


def _decode(packed: Bytes, kind: str) -> Tensor:
    """Return the float32 values of blocks."""
    blocks = packed.reshape(-1, TYPES[kind].size)
    step = CHUNK // TYPES[kind].values
    if len(blocks) <= step:
        return torch.from_numpy(_unpacked(blocks, kind))
    values = np.empty((len(blocks), TYPES[kind].values), dtype=np.float32)
    for start in range(0, len(blocks), step):
        part = values[start : start + step]
        part[:] = _unpacked(blocks[start : start + step], kind).reshape(part.shape)
    return torch.from_numpy(values.reshape(-1))


def _unpacked(blocks: Bytes, kind: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    quants, numbers = library()
    with np.errstate(all="ignore"):  # a block may hold any bits, infinite scales too
        values: np.ndarray[Any, np.dtype[np.float32]]
        values = quants.dequantize(_widened(blocks), numbers[kind]).reshape(-1)
    return values


def _widened(blocks: Any) -> Any:
    """Put up to 128 blocks into a row: the library works on sixteen rows at a time."""
    return blocks.reshape(-1, math.gcd(len(blocks), 128) * blocks.shape[1])


def encoded(tensor: Tensor, kind: str) -> Iterator[Bytes]:
    """Yield the bytes of a tensor's values as `kind`, a piece at a time."""
    values = tensor.reshape(-1)
    for start in range(0, len(values), CHUNK):
        yield _encode(values[start : start + CHUNK], kind)


def _encode(values: Tensor, kind: str) -> Bytes:
    if kind in PLAIN:
        plain: Bytes = values.to(PLAIN[kind]).contiguous().view(torch.uint8).numpy()
        return plain
    quants, numbers = library()
    blocks = values.float().numpy().reshape(-1, TYPES[kind].values)
    with np.errstate(all="ignore"):
        packed: Bytes = quants.quantize(_widened(blocks), numbers[kind])
    return packed.reshape(-1)


def library() -> tuple[Any, Any]:
    """Return the `gguf` package's conversions and its numbers of kinds, or say how to get it."""
    try:
        from gguf import GGMLQuantizationType, quants
    except ModuleNotFoundError as error:
        raise UsageError(
            "quantised GGUF tensors need the package gguf, which is not installed; run: "
            "pip install 'groundup[gguf]'"
        ) from error
    return quants, GGMLQuantizationType
