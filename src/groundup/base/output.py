"""What people are shown: output that may be closed, full or read by nobody; text for terminals."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any, cast

# Each control character as its picture, such as ␛ for ESC; a newline and a tab do no harm.
_PICTURES: dict[int, int | str] = {
    code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"
}
_PICTURES |= {0x7F: 0x2421, **dict.fromkeys(range(0x80, 0xA0), 0xFFFD)}
TURNS = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
"""Code points that show what follows in another order: a name or a command that reads otherwise."""
_PICTURES |= dict.fromkeys(TURNS, 0xFFFD)
# Half a pair is no character; so Python writes the bytes of a file's name that is not UTF-8, too.
_PICTURES |= dict.fromkeys(range(0xD800, 0xE000), 0xFFFD)
_PICTURES |= {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)}

UNENCODABLE = "groundup"
"""Names what happens to a character that an output cannot show: see `_written_anyway`."""


def harmless(text: str) -> str:
    """Return `text` as a terminal may get it: with a picture for each control character.

    All that is printed has passed here. What is for people, the lines and tables of a console and
    all on standard error, has so wherever it goes, as `... | less` and a log end at a terminal,
    too. What is data, as a model's text or JSON, has so at a terminal alone: a program that reads
    a file or a pipe gets every character as it is.
    """
    return text.translate(_PICTURES)


def harmless_line(text: str) -> str:
    """Return `harmless` text on one line: a name may hold newlines, and forge the lines of ours."""
    return harmless(text).replace("\n", "\u240a")


def screened(file: IO[str], *, always: bool = False) -> IO[str]:
    """Return `file` such that what is written to it is `harmless` at a terminal, or `always`."""
    return cast(IO[str], _ScreenedFile(file, always))


def unscreened(file: IO[str]) -> IO[str]:
    """Return what `screened` was given: for a console, which writes control characters itself."""
    return file.behind if isinstance(file, _ScreenedFile) else file


def tell_at_once(message: str) -> None:
    """Write a line to standard error, though another thread may be writing, or stand still."""
    os.write(2, f"groundup: {harmless(message)}\n".encode())


def _written_anyway(error: UnicodeError) -> tuple[bytes, int]:
    """Return the bytes of a name that is not UTF-8, and ? for what an output cannot show."""
    assert isinstance(error, UnicodeEncodeError)
    lost = map(ord, error.object[error.start : error.end])
    kept = (bytes([code - 0xDC00]) if 0xDC80 <= code < 0xDD00 else b"?" for code in lost)
    return b"".join(kept), error.end


codecs.register_error(UNENCODABLE, _written_anyway)


def open_closed_streams() -> None:
    """Open each standard stream that is closed, as by `>&-`, on nothing.

    Else the next file to be opened would take its place, and get what is printed.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest free number: this stream's
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8"))


def fail_safe(file: IO[str], lost: Callable[[OSError], None]) -> IO[str]:
    """Return `file` such that writing does not fail: the first time it would, `lost` is called.

    All that follows is written nowhere, unless `lost` raises an error of its own.
    """
    return cast(IO[str], _FailSafeFile(file, lost))


def lost_by(error: OSError) -> str:
    """Return in words what became of standard output, which failed for this error."""
    reason = "nobody reads" if isinstance(error, BrokenPipeError) else error.strerror
    return f"standard output: {reason}"


class _ScreenedFile:
    """What `screened` returns; in all else it is the file that it was made of."""

    def __init__(self, file: IO[str], always: bool) -> None:
        self.behind = file
        self._always = always

    def __getattr__(self, name: str) -> Any:
        return getattr(self.behind, name)

    def write(self, text: str) -> int:
        self.behind.write(harmless(text) if self._always or self.behind.isatty() else text)
        return len(text)


class _FailSafeFile:
    """What `fail_safe` returns; in all else it is the file that it was made of."""

    def __init__(self, file: IO[str], lost: Callable[[OSError], None]) -> None:
        self._file = file
        self._lost: Callable[[OSError], None] | None = lost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        if text == "":  # typer tries a file so, and would not hear that it fails
            return 0
        with self._guarded():
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with self._guarded():
            self._file.flush()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            _silence(self._file)
            lost, self._lost = self._lost, None
            if lost is not None:
                lost(error)


def _silence(file: IO[str]) -> None:
    """Point a file at nothing: what it still holds would fail again, as the process ends."""
    with contextlib.suppress(OSError):  # as of a file without a descriptor
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, file.fileno())
        os.close(nowhere)
