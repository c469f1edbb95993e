"""The turns of a chat from a terminal or a pipe: lines, texts of several lines, commands."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from groundup.base.errors import GroundupError, UsageError
from groundup.base.files import cache_folder, make_folder
from groundup.cli.app import tell
from groundup.cli.standard_io import input_lines, not_text, typed_line

QUOTES = '"""'
LONGEST = 1000
"""Lines of history that are kept for the next chat."""

Lines = Callable[[str], str]
"""Shows a prompt and returns the next line, or raises `EOFError` after the last."""


@dataclass(frozen=True)
class Command:
    """A line such as `/set temperature 0.7`: a name and what follows it."""

    name: str
    text: str


def read_turn(lines: Lines) -> str | Command:
    """Return the next text or command.

    A line that begins with `/` is a command, one that begins with `//` a text with one of the two.
    Three quotes begin a text that goes on until a line ends with three quotes. What was pasted in
    several lines is one text, just as it is.
    """
    line = lines("> ")
    if line.startswith(QUOTES):
        return _quoted(line, lines)
    if "\n" in line or not line.startswith("/"):
        return line
    if line.startswith("//"):
        return line[1:]
    name, _, text = line[1:].partition(" ")
    text = text.strip()
    return Command(name, _quoted(text, lines) if text.startswith(QUOTES) else text)


def _quoted(first: str, lines: Lines) -> str:
    """Return the text between three quotes, which `first` begins and a later line may end."""
    found = [first.removeprefix(QUOTES)]
    while not found[-1].rstrip().endswith(QUOTES):
        try:
            found.append(lines("... "))
        except EOFError:
            raise UsageError(f"{QUOTES} begins a text that no {QUOTES} ends") from None
    text = "\n".join(found).rstrip().removesuffix(QUOTES)
    return text.removeprefix("\n").removesuffix("\n")


class Pipe:
    """Lines of a file or a pipe, which needs no prompt."""

    def __init__(self) -> None:
        self.lines = input_lines()

    def __call__(self, prompt: str) -> str:
        """Return the next line."""
        if (line := next(self.lines, None)) is None:
            raise EOFError
        return line


class Keyboard:
    """Lines typed at a terminal, with editing and a history where this Python has `readline`.

    The history is a file in the user's cache that nobody else may read.
    """

    def __init__(self) -> None:
        self.readline = _readline() if sys.stdout.isatty() else None
        self.history: History | None = None
        if self.readline is not None:
            try:
                self.history = History(self.readline, cache_folder() / "chat_history")
            except (OSError, GroundupError) as error:
                tell(f"no history of what is typed: {error}")

    def __call__(self, prompt: str) -> str:
        """Show a prompt and return what is typed, which has several lines if it was pasted."""
        if not sys.stdout.isatty():  # `input` would write the prompt among the answers
            print(prompt, end="", file=sys.stderr, flush=True)
            return typed_line()
        try:
            line = input(prompt)
        except UnicodeDecodeError as error:
            raise not_text(error) from error
        if self.history is not None:
            self.history.keep()
        return line.rstrip("\n")


class History:
    """What was typed in this chat and those before, also by chats that go on beside this one."""

    def __init__(self, readline: ModuleType, path: Path) -> None:
        make_folder(path.parent)
        path.touch(mode=0o600)
        path.chmod(0o600)
        readline.read_history_file(path)
        readline.set_history_length(LONGEST)
        self.readline = readline
        self.path = path
        self.length = readline.get_current_history_length()

    def keep(self) -> None:
        """Write to the file what `input` has added: nothing where the last line was typed again."""
        length, before = self.readline.get_current_history_length(), self.length
        self.length = length
        if length == before:
            return
        with contextlib.suppress(OSError):  # a full disk is no reason to end a chat
            if hasattr(self.readline, "append_history_file"):
                self.readline.append_history_file(length - before, self.path)
            else:  # as where macOS's libedit stands in for GNU's library
                self.readline.write_history_file(self.path)


def _readline() -> ModuleType | None:
    """Return the module that lets `input` edit lines, where this Python has it."""
    try:
        import readline
    except ImportError:
        return None
    readline.parse_and_bind("set enable-bracketed-paste on")  # which Python switches off
    return readline
