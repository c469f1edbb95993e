"""From bytes to pieces of text, a bounded amount at a time: decode, cut into lines.

Text is the same wherever it comes in, whole (`plain_text`) or in pieces (`text_pieces`): each line
ends in a plain newline, however it was written, and no byte-order mark stands at its start.
"""

from __future__ import annotations

import codecs
import importlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from groundup.base.errors import DataError, UsageError, quoted
from groundup.data.kinds import (
    LEAVE,
    is_binary,
    kind_of,
    likely_encoding,
    mostly_utf_8,
    unmarked_utf_16,
    wide_encoding,
)

CHUNK_SIZE = 1 << 20  # bytes read at a time, and so the most characters in a piece of text
LARGEST_RECORD = 64 << 20  # bytes of a line of JSON Lines, of a JSON file, or of a CSV field

NAME_ENCODING = (
    "give the encoding of the file, as with --encoding {}, or convert the file with iconv"
)
CONVERT = "convert it to UTF-8, as with iconv -f {} -t utf-8"
"""Remedies for bytes that are not UTF-8, where there is a choice of encodings and where not."""


def optional(module: str, extra: str, name: str) -> Any:
    """Import what only some files need, or raise `DataError` that says how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise DataError(
            f"{name}: reading it needs the package {module.split('.')[0]}, which is not installed; "
            f"run: pip install 'groundup[{extra}]'"
        ) from error


def plain_text(raw: bytes, name: str) -> str:
    """Return UTF-8 bytes, or UTF-16 with a byte-order mark, as text; for texts known to be small.

    Raises what `text_pieces` raises.
    """
    return "".join(text_pieces([raw], name, remedy=CONVERT))


def plain_newlines(text: str) -> str:
    """Return `text` with each line end, "\\r\\n" or "\\r" alone, as a plain newline."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def text_pieces(
    pieces: Iterable[bytes], name: str, encoding: str = "utf-8", remedy: str = NAME_ENCODING
) -> Iterator[str]:
    """Decode bytes to non-empty pieces of text, with plain newlines and no byte-order mark.

    The mark of UTF-16 or UTF-32 makes it that where UTF-8 is expected. Raises `DataError` that
    names `name` and what it is, where it begins like no text, or the offset of the first byte that
    is not `encoding`, or of a NUL, and `UsageError` for an unknown encoding.
    """
    decoder = incremental_decoder(encoding)
    is_utf_8 = codecs.lookup(encoding).name == "utf-8"
    offset = 0
    mark, held = "\ufeff", ""  # what to drop at the start; a "\r" that a "\n" may follow
    for piece in itertools.chain(filter(None, pieces), [b""]):
        if not offset and (kind := kind_of(piece)):
            raise DataError(f"{name}: {kind.what}, not text; {kind.remedy}")
        if not offset and is_utf_8 and (wide := wide_encoding(piece)):
            encoding, decoder = wide, incremental_decoder(wide)
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            start = offset + len(piece) - len(error.object) + error.start
            bad = error.object[error.start :]
            raise _not_encoded(name, encoding, bad, piece, start, remedy) from error
        except UnicodeError as error:
            raise DataError(f"{name}: {error}; {remedy.format('utf-16-le')}") from error
        if "\0" in text:
            raise _nul(name, piece, offset + max(piece.find(0), 0), remedy)
        offset += len(piece)
        if text:
            text, mark = text.removeprefix(mark), ""
        text = held + text
        held = "\r" if piece and text.endswith("\r") else ""
        if text := plain_newlines(text[: len(text) - len(held)]):
            yield text


def incremental_decoder(encoding: str) -> codecs.IncrementalDecoder:
    """Return what decodes bytes piece by piece; a name of no encoding is a `UsageError`."""
    try:
        "".encode(encoding)  # refuses the codecs that do not make text
        return codecs.getincrementaldecoder(encoding)()
    except (LookupError, ValueError) as error:  # or a name that none can have
        raise UsageError(
            f"unknown encoding {quoted(encoding)}; expected a name such as utf-8, utf-16 or latin-1"
        ) from error


def _not_encoded(
    name: str, encoding: str, bad: bytes, piece: bytes, offset: int, remedy: str
) -> DataError:
    wide = unmarked_utf_16(piece)
    advice = f"it looks like a binary file: {LEAVE}"
    if wide or not is_binary(piece):
        advice = remedy.format(wide or likely_encoding(piece))
        if encoding == "utf-8" and not wide and mostly_utf_8(piece):
            advice = "the rest is: remove such bytes, as with iconv -c -f utf-8 -t utf-8"
    return DataError(f"{name}: byte 0x{bad[0]:02x} at offset {offset} is not {encoding}; {advice}")


def _nul(name: str, piece: bytes, offset: int, remedy: str) -> DataError:
    wide = unmarked_utf_16(piece)
    looks = f"{wide} without a byte-order mark" if wide else "a binary file"
    advice = remedy.format(wide) if wide else LEAVE
    return DataError(f"{name}: looks like {looks} (a NUL at offset {offset}); {advice}")


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
