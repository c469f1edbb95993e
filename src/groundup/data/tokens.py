"""A split's token shards as one long sequence of ids, mapped from disk.

Nobody is to change them: what is mapped changes with its file, and where that was cut short, the
system ends whoever looks at it. So the file of each shard is looked at before its tokens are, and
once more when they are copied.

A shard is nothing but unsigned little-endian integers; `manifest.json` beside the shards says how
wide they are, how many, and what their SHA-256 is.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from groundup.base.errors import DataError, UsageError, quoted, shown
from groundup.base.files import file_error, file_sha256
from groundup.base.parse import parse_json
from groundup.base.regular import open_regular, read_bytes

FORMAT = 1
MANIFEST = "manifest.json"
FINISHED_SHARDS = "unfinished.json"
LOCK = "lock"
SPLITS = ("train", "val")
SHARD = rf"({'|'.join(SPLITS)})-\d{{5,}}\.bin"
DTYPES = ("uint8", "uint16", "uint32")

Tokens = npt.NDArray[Any]


class TokenSplit:
    """The tokens of a split, one after the other, wherever they lie.

    `shards` are integer arrays (n,); `n_bytes` is the UTF-8 size of the text that they stand for.
    `checks` has for each shard what raises an error where its file was changed, or nothing at all.
    """

    def __init__(
        self,
        shards: Sequence[Tokens],
        n_bytes: int,
        checks: Sequence[Callable[[], None]] = (),
    ) -> None:
        self._checks = checks
        self._shards = list(shards) or [np.empty(0, dtype=np.uint8)]
        self._ends = list(accumulate(map(len, self._shards)))
        self.n_tokens = self._ends[-1]
        self.n_bytes = n_bytes
        self._windows: tuple[int, Tokens] | None = None

    @classmethod
    def from_array(cls, array: npt.ArrayLike, n_bytes: int) -> TokenSplit:
        """Present ids (n,) that are in memory already like a split on disk."""
        ids = np.asarray(array).view()
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            raise UsageError(
                f"token ids of shape {ids.shape} and type {ids.dtype}: expected one row of whole "
                "numbers; give what a tokenizer's encode returns"
            )
        ids.setflags(write=False)
        return cls([ids], n_bytes)

    def read(self, start: int, length: int) -> Tokens:
        """Return tokens `start` to `start + length` (length,), read-only inside one shard.

        A range that leaves the split is an IndexError.
        """
        self._check(np.array([start]), length)
        return self._read(start, length)

    def _read(self, start: int, length: int) -> Tokens:
        if start < 0 or length < 0 or start + length > self.n_tokens:
            raise IndexError(f"tokens {start} to {start + length} of a split of {self.n_tokens}")
        first = bisect_right(self._ends, start, hi=len(self._ends) - 1)
        begin = start - (self._ends[first] - len(self._shards[first]))
        part = self._shards[first][begin : begin + length]
        if len(part) == length:
            return part
        parts, missing = [part], length - len(part)
        for shard in self._shards[first + 1 :]:
            parts.append(shard[:missing])
            missing -= len(parts[-1])
            if not missing:
                break
        return np.concatenate(parts)

    def windows(self, starts: npt.NDArray[np.int64], length: int) -> Tokens:
        """Return the `length` tokens from each of `starts` on, (len(starts), length).

        A window that leaves the split is an IndexError.
        """
        self._check(starts, length)
        windows = self._windows_of(starts, length)
        self._check(starts, length)
        return windows

    def _windows_of(self, starts: npt.NDArray[np.int64], length: int) -> Tokens:
        if len(self._shards) == 1 and length <= self.n_tokens and (starts >= 0).all():
            windows: Tokens = self._every_window(length)[starts]
            return windows
        windows = np.empty((len(starts), length), dtype=self._shards[0].dtype)
        for row, start in enumerate(starts.tolist()):
            windows[row] = self._read(start, length)
        return windows

    def _check(self, starts: npt.NDArray[np.int64], length: int) -> None:
        """Look at the file of every shard in which a window lies, in part or as a whole."""
        checks: Iterable[Callable[[], None]] = self._checks
        if len(self._checks) > 1:
            ends = [starts, starts + max(length - 1, 0)]
            firsts, lasts = np.searchsorted(self._ends, ends, "right").tolist()
            spans = zip(firsts, lasts, strict=True)
            checks = {check for first, last in spans for check in self._checks[first : last + 1]}
        for check in checks:
            check()

    def _every_window(self, length: int) -> Tokens:
        """Return all windows of the one shard (n_tokens - length + 1, length), a view of it."""
        known = self._windows
        if known is None or known[0] != length:
            known = length, sliding_window_view(self._shards[0], length)
            self._windows = known
        return known[1]

    def __len__(self) -> int:
        return self.n_tokens

    def __repr__(self) -> str:
        return f"TokenSplit({self.n_tokens:,} tokens of {self.n_bytes:,} bytes)"


def open_tokens(folder: str | Path, split: str, *, verify: bool = False) -> TokenSplit:
    """Map the tokens of `split` ("train" or "val") of a prepared folder, checking their sizes.

    `verify` also reads everything and compares the SHA-256. A shard that is missing or damaged is a
    DataError that names the file.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    dtype = np.dtype(manifest["dtype"]).newbyteorder("<")
    entry = manifest["splits"][split]
    mapped = [_mapped(folder, shard, dtype, verify) for shard in entry["shards"]]
    return TokenSplit([tokens for tokens, _ in mapped], entry["bytes"], [c for _, c in mapped])


def _mapped(
    folder: Path, shard: dict[str, Any], dtype: np.dtype[Any], verify: bool
) -> tuple[Tokens, Callable[[], None]]:
    """Return the tokens of a shard, and what raises a DataError once its file was changed."""
    path = folder / shard["file"]
    name = os.fspath(path)  # which is looked at twice a batch
    try:
        with open_regular(path) as file:
            seen = os.fstat(file.fileno())
            if seen.st_size != shard["size"]:
                raise _damaged(folder, path, f"{seen.st_size:,} bytes, expected {shard['size']:,}")
            if verify and file_sha256(path) != shard["sha256"]:
                raise _damaged(folder, path, "its SHA-256 has changed")
            # As a plain array the mapping is sliced ten times faster than as numpy's own memmap.
            tokens = np.asarray(np.memmap(file, dtype, "r"))
    except FileNotFoundError:
        raise DataError(f"{path}: missing; {remedy(folder)}") from None
    except ValueError as error:  # cut short meanwhile
        raise _damaged(folder, path, str(error)) from error
    except OSError as error:
        raise DataError(str(file_error(path, error))) from error

    def check() -> None:
        nonlocal seen
        try:
            now = os.stat(name)  # noqa: PTH116 - faster than a path's
        except OSError:  # its name has gone; what is mapped stays
            return
        same = now.st_mtime_ns == seen.st_mtime_ns and now.st_size == seen.st_size
        if same or now.st_ino != seen.st_ino:  # another file in its place is not the mapped one
            return
        if now.st_size != seen.st_size or file_sha256(path) != shard["sha256"]:
            raise _damaged(folder, path, "changed while it was read")
        seen = now  # written anew, or touched, with the same bytes

    return tokens, check


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a prepared folder; where it makes no sense, a DataError names it."""
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = parse_json(read_bytes(path))
        if manifest.get("kind") is not None:
            raise DataError(f"{folder}: {shown(manifest['kind'])} examples, not token shards")
        if manifest["format"] != FORMAT:
            raise DataError(
                f"{path}: format {quoted(manifest['format'])}, but this version reads format "
                f"{FORMAT}; {remedy(folder)}"
            )
        _check(manifest)
    except FileNotFoundError:
        raise DataError(
            f"{folder}: not a prepared data folder (no {MANIFEST}); make one with 'groundup data "
            "prepare'"
        ) from None
    except OSError as error:
        raise DataError(str(file_error(path, error))) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        reason = f"lacks {shown(error.args[0])}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{path}: damaged ({shown(reason, 200)}); {remedy(folder)}") from error
    return manifest


def _check(manifest: dict[str, Any]) -> None:
    """Raise a ValueError, or whatever comes of another shape, where a manifest makes no sense."""
    tokenizer = manifest["tokenizer"]["fingerprint"]
    for text in (manifest["fingerprint"], tokenizer, manifest["split_rule"]):
        _expect(isinstance(text, str), text, "a text")
    _expect(manifest["dtype"] in DTYPES, manifest["dtype"], f"one of {', '.join(DTYPES)}")
    end = manifest["tokenizer"].get("end_of_text", 0)
    _expect(type(end) is int and 0 <= end < 1 << 32, end, "a token id")
    width = np.dtype(manifest["dtype"]).itemsize
    for entry in (manifest["splits"][split] for split in SPLITS):
        numbers = [entry[unit] for unit in ("tokens", "bytes", "documents")]
        shards = entry["shards"]
        for shard in shards:
            name, tokens, size = shard["file"], shard["tokens"], shard["size"]
            _expect(_is_plain(name), name, "the name of a file in the same folder")
            _expect(isinstance(shard["sha256"], str), shard["sha256"], "a SHA-256")
            numbers += [tokens, size]
            _expect(size == tokens * width > 0, size, f"the size of {quoted(tokens)} tokens")
        for number in numbers:
            _expect(type(number) is int and 0 <= number < 1 << 63, number, "a number of 0 or more")
        _expect(sum(shard["tokens"] for shard in shards) == entry["tokens"], entry["tokens"],
                "what the tokens of the shards add up to")  # fmt: skip


def _expect(condition: bool, value: object, expected: str) -> None:
    if not condition:
        raise ValueError(f"{quoted(value)}, expected {expected}")


def _is_plain(name: Any) -> bool:
    """Whether `name` leads out of the folder on no system."""
    return isinstance(name, str) and re.fullmatch(r"\w[\w.-]*", name, re.ASCII) is not None


def remedy(folder: Path) -> str:
    """Say what to do about a prepared folder that is damaged."""
    return f"remove {folder} and run 'groundup data prepare' again"


def _damaged(folder: Path, path: Path, reason: str) -> DataError:
    return DataError(f"{path}: damaged ({reason}); {remedy(folder)}")
