"""Standard input as text, and a model's text on standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from groundup.base.errors import DataError
from groundup.base.output import harmless


def read_input() -> str:
    """Return all of standard input; what is not text is a `DataError`."""
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise not_text(error) from error


def read_line() -> str:
    """Return the next line of standard input without its newline, or raise `EOFError`."""
    try:
        line = sys.stdin.readline()
    except UnicodeDecodeError as error:
        raise not_text(error) from error
    if not line:
        raise EOFError
    return line.removesuffix("\n")


def not_text(error: UnicodeDecodeError) -> DataError:
    """Return the error for standard input that is not in its encoding."""
    return DataError(f"standard input: expected {error.encoding} text, but {error.reason}; mend it")


def show(pieces: Iterable[str]) -> None:
    """Print a model's text as it comes, in a way that does nothing to a terminal."""
    for piece in pieces:
        print(harmless(piece, sys.stdout), end="", flush=True)
    print()
