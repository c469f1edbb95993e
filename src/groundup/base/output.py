"""What people are shown: output that may be closed, full or read by nobody; text for terminals."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any, cast

# Each control character as its picture, such as ␛ for ESC; a newline and a tab do no harm.
_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
_PICTURES |= {0x7F: 0x2421, **dict.fromkeys(range(0x80, 0xA0), 0xFFFD)}


def harmless(text: str, file: IO[str]) -> str:
    """Return `text` as it may be written to `file`: no control character reaches a terminal.

    A program that reads a file or a pipe gets every character as it is.
    """
    return text.translate(_PICTURES) if file.isatty() else text


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
