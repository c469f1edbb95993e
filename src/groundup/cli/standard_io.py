"""Texts from files and standard input, and a model's text on standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from groundup.base.errors import DataError
from groundup.base.files import file_error
from groundup.base.regular import open_regular
from groundup.cli.app import tell

if TYPE_CHECKING:
    import io


PIPE = "standard input"
LARGEST_TEXT = 512 << 20
"""Bytes of a text that is read whole."""


def read_input() -> str:
    """Return all of standard input as text; see `text_pieces`."""
    return _whole(cast("io.BufferedIOBase", sys.stdin.buffer), PIPE)


def _whole(file: io.BufferedIOBase, name: str) -> str:
    """Return the text of an open file; one over `LARGEST_TEXT` is a `DataError`."""
    from groundup.data.streams import CHUNK_SIZE, CONVERT, text_pieces

    def pieces() -> Iterator[bytes]:
        n_bytes = 0
        while piece := file.read(CHUNK_SIZE):
            n_bytes += len(piece)
            if n_bytes > LARGEST_TEXT:
                raise DataError(
                    f"{name}: over {LARGEST_TEXT >> 20} MiB, and it is read whole; give a part of "
                    f"it, as with head -c {LARGEST_TEXT}"
                )
            yield piece

    return "".join(text_pieces(pieces(), name, remedy=CONVERT))


def read_text(path: Path) -> str:
    """Return the text of a file as it stands, or of standard input for -.

    A notice says so where the file has records or markup, of which training reads the texts only.
    """
    from groundup.data.folders import format_of
    from groundup.data.kinds import looks_like
    from groundup.data.markup import MARKUP
    from groundup.data.record_files import RECORD_FORMATS

    name = PIPE if path == Path("-") else str(path)
    try:
        if name == PIPE:
            text = read_input()
        else:
            with open_regular(path) as file:
                text = _whole(file, name)
    except OSError as error:
        raise file_error(path, error) from error
    if not text:
        raise DataError(f"{name}: an empty text; give one with something to predict")
    if looks_like(text) or format_of(path) in (*RECORD_FORMATS, *MARKUP):
        tell(
            f"{name}: taken as it stands, with all that is not text in it; training reads only the "
            "texts of such a file, and to score those, give them as plain text"
        )
    return text


def input_lines() -> Iterator[str]:
    """Yield the lines of a pipe as they come, without their ends; see `text_pieces`."""
    from groundup.data.streams import CHUNK_SIZE, CONVERT, lines, text_pieces

    pipe = cast("io.BufferedReader", sys.stdin.buffer)
    pieces = iter(lambda: pipe.read1(CHUNK_SIZE), b"")
    yield from lines(text_pieces(pieces, PIPE, remedy=CONVERT), PIPE)


def typed_line() -> str:
    """Return the next line that is typed, without its end, or raise `EOFError` after the last."""
    try:
        line = sys.stdin.readline()
    except UnicodeDecodeError as error:
        raise not_text(error) from error
    if not line:
        raise EOFError
    return line.removesuffix("\n")


def not_text(error: UnicodeDecodeError) -> DataError:
    """Return the error for what was typed and is not in the terminal's encoding."""
    return DataError(f"what was typed is not {error.encoding}; mend it")


def show(pieces: Iterable[str], prompt: str = "", first: bool = True) -> None:
    """Print a model's text as it comes, behind its prompt; an empty line parts it from others.

    It does nothing to a terminal, where one sees where the prompt ends.
    """
    print("" if first else "\n", end="")
    _show_prompt(prompt)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()


def _show_prompt(prompt: str) -> None:
    """Print a prompt: marked at a terminal, elsewhere as it is."""
    if not prompt or not sys.stdout.isatty():
        print(prompt, end="")
        return
    from groundup.base.console import HarmlessConsole
    from groundup.base.terminal import marked_prompt

    console = HarmlessConsole()
    console.print(marked_prompt(console, prompt), end="", soft_wrap=True)
