"""From a file to pieces of text, a bounded amount at a time: decompress, decode, cut into lines."""

from __future__ import annotations

import codecs
import gzip
import importlib
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from groundup.base.errors import DataError, UsageError
from groundup.base.files import file_error

CHUNK_SIZE = 1 << 20  # bytes read at a time, and so the most characters in a piece of text
LARGEST_RECORD = 64 << 20  # bytes of a line of JSON Lines, of a JSON file, or of a CSV field
ZSTD_STEP = 1 << 10  # zstd packs up to 128 KiB into 4 bytes: 1 KiB makes at most 32 MiB


def optional(module: str, extra: str, name: str) -> Any:
    """Import what only some files need, or raise `DataError` that says how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise DataError(
            f"{name}: reading it needs the package {module.split('.')[0]}, which is not installed; "
            f"run: pip install 'groundup[{extra}]'"
        ) from error


def byte_pieces(path: Path, size: int = CHUNK_SIZE) -> Iterator[bytes]:
    """Yield the bytes of a file, decompressed if it ends in .gz or .zst, about `size` at a time."""
    try:
        yield from COMPRESSIONS.get(path.suffix.lower(), _stored)(path, size)
    except OSError as error:
        raise file_error(path, error) from error


def _stored(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while piece := file.read(size):
            yield piece


def _gzip(path: Path, size: int) -> Iterator[bytes]:
    try:
        with gzip.open(path) as file:
            while piece := file.read(size):
                yield piece
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _damaged(path, error) from error


def _zstd(path: Path, size: int) -> Iterator[bytes]:
    zstandard = optional("zstandard", "zstd", str(path))
    decoder = zstandard.ZstdDecompressor().decompressobj()
    try:
        for packed in _stored(path, size):
            for start in range(0, len(packed), ZSTD_STEP):
                step = packed[start : start + ZSTD_STEP]
                while step:
                    if decoder.eof:  # one frame ends and another begins
                        decoder = zstandard.ZstdDecompressor().decompressobj()
                    text = decoder.decompress(step)  # any number of bytes, if it packs well
                    yield from (text[at : at + size] for at in range(0, len(text), size))
                    step = decoder.unused_data if decoder.eof else b""
    except zstandard.ZstdError as error:
        raise _damaged(path, error) from error
    if not decoder.eof and path.stat().st_size:
        raise _damaged(path, "the file ends in the middle")


COMPRESSIONS: dict[str, Callable[[Path, int], Iterator[bytes]]] = {".gz": _gzip, ".zst": _zstd}


def _damaged(path: Path, reason: object) -> DataError:
    return DataError(
        f"{path}: damaged or cut short ({str(reason).rstrip('.')}); fetch it or compress it again"
    )


def text_pieces(pieces: Iterable[bytes], name: str, encoding: str = "utf-8") -> Iterator[str]:
    """Decode bytes to non-empty pieces of text, with plain newlines and no byte-order mark.

    Raises `DataError` that names `name` and the offset of the first byte that is not `encoding`, or
    of a NUL, and `UsageError` for an unknown encoding.
    """
    decoder = _incremental_decoder(encoding)
    offset = 0
    mark, held = "\ufeff", ""  # what to drop at the start; a "\r" that a "\n" may follow
    for piece in itertools.chain(filter(None, pieces), [b""]):
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            start = offset + len(piece) - len(error.object) + error.start
            raise _not_encoded(name, encoding, error.object[error.start], start) from error
        except UnicodeError as error:
            raise DataError(f"{name}: {error}; name its encoding with --encoding") from error
        if "\0" in text:
            raise _nul(name, offset + max(piece.find(0), 0))
        offset += len(piece)
        if text:
            text, mark = text.removeprefix(mark), ""
        text = (held + text).replace("\r\n", "\n")
        held = "\r" if piece and text.endswith("\r") else ""
        if text := text[: len(text) - len(held)]:
            yield text


def _incremental_decoder(encoding: str) -> codecs.IncrementalDecoder:
    try:
        "".encode(encoding)  # refuses the codecs that do not make text
        return codecs.getincrementaldecoder(encoding)()
    except LookupError as error:
        raise UsageError(
            f"unknown encoding '{encoding}'; expected a name such as utf-8, utf-16 or latin-1"
        ) from error


def _not_encoded(name: str, encoding: str, byte: int, offset: int) -> DataError:
    return DataError(
        f"{name}: byte 0x{byte:02x} at offset {offset} is not {encoding}; give the encoding of the "
        "file, such as --encoding latin-1 (or utf-16), or convert the file with iconv"
    )


def _nul(name: str, offset: int) -> DataError:
    return DataError(
        f"{name}: looks like a binary file (a NUL at offset {offset}); expected text, or its "
        "encoding, such as --encoding utf-16"
    )


def longer_than(text: str, limit: int) -> bool:
    """Say whether `text` takes more than `limit` bytes in UTF-8, measuring only if it may."""
    if len(text) * 4 <= limit:
        return False
    return len(text) > limit or len(text.encode("utf-8", "surrogatepass")) > limit


def lines(pieces: Iterable[str], name: str, limit: int = LARGEST_RECORD) -> Iterator[str]:
    """Yield lines without their newline; one over `limit` bytes is a `DataError` at once.

    Only "\\n" ends a line here, unlike in `str.splitlines`.
    """
    held: list[str] = []  # the start of a line that a later piece ends
    number = 0

    def whole(end: str) -> str:
        nonlocal number
        number += 1
        line = "".join([*held, end])
        held.clear()
        if longer_than(line, limit):
            raise _too_long(name, number, limit)
        return line

    for piece in pieces:
        *ends, last = piece.split("\n")
        yield from map(whole, ends)
        held += [last] * bool(last)
        if sum(map(len, held)) > limit:
            raise _too_long(name, number + 1, limit)
    if held:
        yield whole("")


def _too_long(name: str, number: int, limit: int) -> DataError:
    return DataError(
        f"{name}, line {number}: a record over {limit >> 20} MiB; cut it into smaller records, or "
        "keep it as a plain text file, which may be of any size"
    )
