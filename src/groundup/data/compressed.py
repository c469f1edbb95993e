"""From a stored file to its bytes, a bounded amount at a time: gzip, bzip2, xz, zstd and zip."""

from __future__ import annotations

import bz2
import contextlib
import lzma
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, Protocol

from groundup.base.errors import DataError
from groundup.base.files import file_error
from groundup.data.kinds import HEAD, is_binary, kind_of
from groundup.data.streams import CHUNK_SIZE, LARGEST_RECORD, optional

STEP = 1 << 16  # packed bytes at a time, so that soon it is seen how far they unpack
ZSTD_STEP = 1 << 10  # zstd packs up to 128 KiB into 4 bytes: 1 KiB makes at most 32 MiB
XZ_MEMORY = 1 << 30  # bytes that unpacking may take; what xz -9 packs needs 65 MiB
FREELY = 16 << 20
"""Bytes that anything may unpack to."""
MOST_TIMES = 200
"""Beyond that, as many bytes for each packed one; texts come to 20, repetitive logs to 100."""
LONGEST_FILLING = 16 << 20
"""Zeros between frames, which fill up the blocks of tapes."""


class StoredFile(Protocol):
    """A file on disk, or a member of an archive."""

    @property
    def suffix(self) -> str:
        """The last ending of its name."""

    @property
    def stem(self) -> str:
        """Its name without that ending."""

    def open(self, mode: Literal["rb"], /) -> IO[bytes]:
        """Open it to be read."""


def byte_pieces(path: StoredFile, size: int = CHUNK_SIZE) -> Iterator[bytes]:
    """Yield the bytes of a file, about `size` at a time, unpacked where its ending says packed.

    Raises `DataError` for a file that is not packed as its ending says, is damaged or cut short.
    """
    make = COMPRESSIONS.get(path.suffix.lower())
    try:
        yield from _decompressed(path, make(path), size) if make else _stored(path, size)
    except OSError as error:
        raise file_error(Path(str(path)), error) from error


def seekable(path: StoredFile, size: int = CHUNK_SIZE) -> IO[bytes]:
    """Open a file that is read from its end on; a packed one, or a member, as a copy on disk."""
    try:
        if isinstance(path, Path) and path.suffix.lower() not in COMPRESSIONS:
            return path.open("rb")
        plain = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        plain.writelines(byte_pieces(path, size))
        plain.seek(0)
        return plain
    except OSError as error:
        raise file_error(Path(str(path)), error) from error


def _stored(path: StoredFile, size: int) -> Iterator[bytes]:
    n_bytes = 0
    try:
        with path.open("rb") as file:
            while piece := file.read(size):
                n_bytes += len(piece)
                if isinstance(path, Member):
                    _check_size(path, n_bytes, path.info.compress_size)
                yield piece
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:  # a member of an archive
        raise _damaged(path, str(error)) from error


class _Frame(Protocol):
    """What unpacks one of the frames (or members, or streams) that follow each other in a file."""

    @property
    def eof(self) -> bool:
        """Whether the frame has ended."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes of what it was given."""

    @property
    def unused_data(self) -> bytes:
        """What came after its end."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Return at most `max_length` bytes of what `data`, and all before it, unpack to."""


class _GzipFrame:
    eof = property(lambda self: self._zlib.eof)
    needs_input = property(lambda self: not self._zlib.unconsumed_tail)
    unused_data = property(lambda self: self._zlib.unused_data)

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


class _ZstdFrame:
    """Only its input limits its output; see `ZSTD_STEP`."""

    eof = property(lambda self: self._zstd.eof)
    needs_input = True
    unused_data = property(lambda self: self._zstd.unused_data)

    def __init__(self, zstandard: Any) -> None:
        self._zstd = zstandard.ZstdDecompressor().decompressobj()

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        unpacked: bytes = self._zstd.decompress(data)
        return unpacked


@dataclass(frozen=True, kw_only=True)
class _Compression:
    """A compression: how its files begin, what unpacks a frame, how that fails, and its input."""

    name: str
    magic: bytes
    frame: Callable[[], _Frame]
    failure: type[Exception]
    step: int = STEP


def _zstd(path: StoredFile) -> _Compression:
    zstandard = optional("zstandard", "zstd", str(path))
    return _Compression(
        name="zstd",
        magic=b"\x28\xb5\x2f\xfd",
        frame=lambda: _ZstdFrame(zstandard),
        failure=zstandard.ZstdError,
        step=ZSTD_STEP,
    )


_GZIP = _Compression(name="gzip", magic=b"\x1f\x8b", frame=_GzipFrame, failure=zlib.error)
_BZIP2 = _Compression(name="bzip2", magic=b"BZh", frame=bz2.BZ2Decompressor, failure=OSError)
_XZ = _Compression(
    name="xz",
    magic=b"\xfd7zXZ\0",
    frame=lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY),
    failure=lzma.LZMAError,
)
COMPRESSIONS: dict[str, Callable[[StoredFile], _Compression]] = {
    ".gz": lambda path: _GZIP,
    ".bz2": lambda path: _BZIP2,
    ".xz": lambda path: _XZ,
    ".zst": _zstd,
}


def _decompressed(path: StoredFile, compression: _Compression, size: int) -> Iterator[bytes]:
    """Yield what all frames of a file unpack to; zeros between them only fill up a block."""
    frame, first, start, offset = compression.frame(), b"", 0, 0
    end, n_bytes = 0, 0  # of the last frame; of all that was unpacked
    for packed in _stored(path, compression.step):
        offset += len(packed)
        n_packed = path.info.compress_size if isinstance(path, Member) else offset
        while True:
            if not first:  # between two frames
                packed = packed.lstrip(b"\0") if start else packed
                start = offset - len(packed)
                if not packed:
                    if offset - end > LONGEST_FILLING:
                        raise _damaged(path, f"nothing but zeros from byte {end:,} on")
                    break
            first += packed[: len(compression.magic) - len(first)]
            try:
                text = frame.decompress(packed, size)
            except compression.failure as error:
                raise _not_decompressed(path, compression, first, start, str(error)) from error
            packed = b""
            n_bytes += len(text)
            _check_size(path, n_bytes, n_packed)
            yield from (text[at : at + size] for at in range(0, len(text), size))
            if frame.eof:
                packed, frame, first = frame.unused_data, compression.frame(), b""
                start = end = offset
            elif frame.needs_input:
                break
    if first:
        raise _not_decompressed(path, compression, first, start)


def _check_size(path: StoredFile, n_bytes: int, n_packed: int) -> None:
    """Raise `DataError` for what unpacks to far more than any text does."""
    if n_bytes > max(FREELY, MOST_TIMES * n_packed):
        raise DataError(
            f"{path}: unpacks to more than {MOST_TIMES} times its size ({n_bytes >> 20} MiB by "
            f"byte {n_packed:,}), unlike a text; if it is one, unpack it, and name that"
        )


def _not_decompressed(
    path: StoredFile, compression: _Compression, first: bytes, start: int, reason: str = ""
) -> DataError:
    """Tell what is no frame, or is followed by none, from one that is damaged or cut short.

    `first` are the first bytes of the frame that begins at byte `start`.
    """
    if compression.magic.startswith(first):
        return _damaged(path, reason) if reason else _cut_short(path)
    if start:
        return DataError(
            f"{path}: what follows byte {start:,} is not {compression.name}; cut it off, as with "
            f"head -c {start}, or compress the text again"
        )
    return not_as_named(path, compression.name, next(_stored(path, HEAD), b""))


def _cut_short(path: StoredFile) -> DataError:
    """Say that a file ends too early."""
    return DataError(f"{path}: cut short (it ends in the middle); fetch it or compress it again")


def _damaged(path: StoredFile, reason: str) -> DataError:
    return DataError(f"{path}: damaged ({reason.rstrip('.')}); fetch it or compress it again")


def not_as_named(path: StoredFile, name: str, head: bytes) -> DataError:
    """Say what a file is that begins with `head`, and not what its ending promises."""
    kind = kind_of(head)
    is_what = kind.what if kind else "binary data" if is_binary(head) else "plain text"
    return DataError(
        f"{path}: not {name} though it ends in {path.suffix}, but {is_what}; rename it to end in "
        "what it is, or fetch it again"
    )


@dataclass(frozen=True)
class Member:
    """A file inside a zip archive, unpacked while it is read and never written outside."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo
    label: str
    """What the archive is called."""

    @property
    def inside(self) -> PurePosixPath:
        """Its path in the archive."""
        return PurePosixPath(self.info.filename)

    @property
    def suffix(self) -> str:
        """The last ending of its name."""
        return self.inside.suffix

    @property
    def stem(self) -> str:
        """Its name without that ending."""
        return self.inside.stem

    def __str__(self) -> str:
        return f"{self.label}/{self.info.filename}"

    def open(self, mode: Literal["rb"], /) -> IO[bytes]:
        """Open it to be read; what cannot be read a bounded amount at a time is a `DataError`."""
        if self.info.flag_bits & 1:
            raise DataError(f"{self}: encrypted; unpack the archive and name the folder")
        if self.info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(f"{self}: packed in an unusual way; unpack it and name the folder")
        try:
            return self.archive.open(self.info)
        except (zipfile.BadZipFile, OSError, ValueError, EOFError) as error:  # it starts nowhere
            raise _damaged(self, str(error)) from error

    def read(self) -> bytes:
        """Return all of a small member; one over 64 MiB is a `DataError`, whatever it declares."""
        try:
            with self.open("rb") as file:
                raw = file.read(LARGEST_RECORD + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise _damaged(self, str(error)) from error
        if len(raw) > LARGEST_RECORD:
            raise DataError(f"{self}: over {LARGEST_RECORD >> 20} MiB; give it as plain text")
        return raw


@contextlib.contextmanager
def zip_members(path: StoredFile) -> Iterator[dict[str, Member]]:
    """Yield the files of a zip archive by their names, sorted, to be read while it is open.

    Members that share their bytes, as in an archive that is to unfold without end, and whatever is
    no zip archive, are a `DataError`.
    """
    with seekable(path) as file:
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            file.seek(0)
            head = file.read(HEAD)
            if head.startswith(b"PK"):
                raise _damaged(path, f"or cut short: {error}") from error
            raise not_as_named(path, "zip", head) from error
        with archive:
            infos = {info.filename: info for info in archive.infolist() if not info.is_dir()}
            file.seek(0, 2)
            if sum(info.compress_size for info in infos.values()) > file.tell():
                raise _damaged(path, "its members are larger than the archive")
            yield {name: Member(archive, infos[name], str(path)) for name in sorted(infos)}
