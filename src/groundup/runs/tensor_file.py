"""Safetensors files: their headers are checked in full; they are written one tensor at a time.

    length of the header (8 bytes, little-endian), header, then the tensors' bytes

The header is a JSON object: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}},
and "__metadata__" of texts. Every number is compared with the size of the file before it is used.
"""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from groundup.base.errors import RunError, shown
from groundup.base.files import atomic_writer, file_error
from groundup.base.parse import WHOLE, parse_object
from groundup.base.regular import open_regular

METADATA = "__metadata__"
LARGEST_HEADER = 8 << 20
"""Bytes: some 50,000 tensors in one file. The format allows 100 MB, which takes many seconds."""
MOST_DIMENSIONS = 16

# In the order in which the safetensors library writes them: the widest first, for alignment.
DTYPES = {
    "U64": torch.uint64,
    "I64": torch.int64,
    "F64": torch.float64,
    "F32": torch.float32,
    "U32": torch.uint32,
    "I32": torch.int32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "U16": torch.uint16,
    "I16": torch.int16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
RANKS = {dtype: rank for rank, dtype in enumerate(DTYPES.values())}


class Stored(NamedTuple):
    """A tensor that is not yet read: what it will be, and how to read it."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]

    @classmethod
    def of(cls, tensor: Tensor) -> Stored:
        """Return one that is in memory already."""
        return cls(tuple(tensor.shape), tensor.dtype, lambda: tensor)


def read_safetensors(path: Path) -> dict[str, Stored]:
    """Return the tensors of a file by name, checked but not yet read; each is mapped when it is.

    A file that is damaged in any way is a one-line `RunError` with the tensor and the reason.
    """
    start, entries = _entries(path)
    return {
        name: Stored(entry.shape, entry.dtype, partial(_read, path, start, entry))
        for name, entry in entries.items()
    }


def map_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name: parts of one mapping, as `read_safetensors` checks it.

    It holds one file open, however many tensors there are, until the last of them is gone.
    """
    start, entries = _entries(path)
    whole = _mapped(path, 0, path.stat().st_size)
    return {
        name: _tensor(whole[start + entry.begin : start + entry.end], start, entry)
        for name, entry in entries.items()
    }


def write_safetensors(
    path: Path, tensors: Mapping[str, Stored], metadata: dict[str, str] | None = None
) -> None:
    """Write `tensors` as the safetensors library would, byte for byte, holding one at a time."""
    ordered = sorted(tensors.items(), key=lambda item: (RANKS[item[1].dtype], item[0]))
    header: dict[str, Any] = {} if metadata is None else {METADATA: metadata}
    end = 0
    for name, stored in ordered:
        begin, end = end, end + _size(stored.shape, stored.dtype)
        header[name] = {
            "dtype": NAMES[stored.dtype],
            "shape": stored.shape,
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with atomic_writer(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, stored in ordered:
            _write(file, name, stored)


class _Header(NamedTuple):
    values: dict[str, Any]
    n_bytes: int


class _Entry(NamedTuple):
    shape: tuple[int, ...]
    dtype: torch.dtype
    begin: int
    end: int


def _entries(path: Path) -> tuple[int, dict[str, _Entry]]:
    """Return where the tensors' bytes begin and what the header says of each, all of it checked."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            header = _header(file, size, path)
    except OSError as error:
        raise file_error(path, error) from error
    start = 8 + header.n_bytes
    _check_metadata(header.values.pop(METADATA, {}), path)
    entries = {name: _entry(name, value, path) for name, value in header.values.items()}
    _check_places(entries, size - start, path)
    return start, entries


def _header(file: io.BufferedIOBase, size: int, path: Path) -> _Header:
    length = file.read(8)
    if len(length) < 8:
        raise RunError(f"{path}: {size} bytes are no safetensors file; {WHOLE}")
    n_bytes = int.from_bytes(length, "little")
    if n_bytes > min(LARGEST_HEADER, size - 8):
        raise RunError(
            f"{path}: a header of {n_bytes:,} bytes, expected at most {LARGEST_HEADER:,} and no "
            f"more than the file's {size:,}; {WHOLE}"
        )
    raw = file.read(n_bytes)
    if not raw.startswith(b"{"):
        raise RunError(f"{path}: the header is no JSON object; {WHOLE}")
    return _Header(parse_object(raw, path), n_bytes)


def _check_metadata(metadata: Any, path: Path) -> None:
    is_texts = isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())
    if not is_texts:
        raise RunError(f"{path}: {METADATA}: expected an object of texts; {WHOLE}")


def _entry(name: str, value: Any, path: Path) -> _Entry:
    """Return what the header says of a tensor, every part of its kind and the sum in order."""
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise _wrong(path, name, "expected dtype, shape and data_offsets and nothing else")
    dtype = DTYPES.get(value["dtype"]) if isinstance(value["dtype"], str) else None
    if dtype is None:
        raise _wrong(path, name, f"dtype {shown(value['dtype'])} is not known")
    shape, offsets = value["shape"], value["data_offsets"]
    if not _are_counts(shape) or len(shape) > MOST_DIMENSIONS:
        raise _wrong(path, name, f"shape {shown(shape)}: expected a few numbers of 0 or more")
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _wrong(path, name, f"data_offsets {shown(offsets)}: expected a begin and an end")
    if (size := _size(shape, dtype)) != offsets[1] - offsets[0]:
        raise _wrong(
            path,
            name,
            f"data_offsets {shown(offsets)} hold {offsets[1] - offsets[0]} bytes, but "
            f"shape {shown(shape)} of {value['dtype']} takes {size}",
        )
    return _Entry(tuple(shape), dtype, *offsets)


def _are_counts(values: Any) -> bool:
    """Whether `values` are numbers that a position in a file can be; a bool is none."""
    return isinstance(values, list) and all(type(n) is int and 0 <= n < 1 << 63 for n in values)


def _check_places(entries: dict[str, _Entry], n_bytes: int, path: Path) -> None:
    """Refuse tensors that overlap, leave gaps, or do not end with the file."""
    at = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != at:
            what = "overlaps the one before it" if entry.begin < at else "leaves a gap before it"
            raise _wrong(path, name, f"begins at {entry.begin}, expected {at}: it {what}")
        if entry.end > n_bytes:
            raise _wrong(path, name, f"ends at {entry.end}, but there are {n_bytes} bytes")
        at = entry.end
    if at != n_bytes:
        raise RunError(f"{path}: {n_bytes - at} bytes belong to no tensor; {WHOLE}")


def _wrong(path: Path, name: str, reason: str) -> RunError:
    return RunError(f"{path}: tensor {shown(name)}: {reason}; {WHOLE}")


def _size(shape: tuple[int, ...] | list[int], dtype: torch.dtype) -> int:
    return math.prod(shape) * dtype.itemsize


def _read(path: Path, start: int, entry: _Entry) -> Tensor:
    """Map one tensor of a file: its pages are read when they are looked at, and are not kept."""
    if entry.begin == entry.end:
        return torch.empty(entry.shape, dtype=entry.dtype)
    return _tensor(_mapped(path, start + entry.begin, entry.end - entry.begin), start, entry)


def _mapped(path: Path, offset: int, size: int) -> Tensor:
    """Map some bytes of a file; only one's own copy of a page changes where they are written to."""
    try:
        with open_regular(path) as file:
            mapped = np.memmap(file, dtype=np.uint8, mode="c", offset=offset, shape=(size,))
    except OSError as error:
        raise file_error(path, error) from error
    except ValueError as error:  # shorter than a moment ago
        raise RunError(f"{path}: {error}; {WHOLE}") from error
    return torch.from_numpy(mapped)


def _tensor(raw: Tensor, start: int, entry: _Entry) -> Tensor:
    """Return bytes as the tensor that they are; numbers must not lie across."""
    raw = raw.clone() if (start + entry.begin) % entry.dtype.itemsize else raw
    return raw.view(entry.dtype).reshape(entry.shape)


def _write(file: IO[bytes], name: str, stored: Stored) -> None:
    tensor = stored.read()
    assert (tuple(tensor.shape), tensor.dtype) == (stored.shape, stored.dtype), name
    if tensor.numel():
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        file.write(flat.view(torch.uint8).numpy().data)
