"""What counts as a text, what as a command, and where a text of several lines ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from groundup.base.errors import UsageError
from groundup.cli.prompt import Command, read_turn


def turns(*lines: str) -> Iterator[str | Command]:
    """Yield what the lines are read as; one with newlines in it was pasted."""
    left = iter(lines)

    def line(prompt: str) -> str:
        for found in left:
            return found
        raise EOFError

    while True:
        try:
            yield read_turn(line)
        except EOFError:
            return


@pytest.mark.parametrize(
    ("line", "read_as"),
    [
        ("", ""),
        (" /help", " /help"),
        ("/help", Command("help", "")),
        ("/set  top_k  5 ", Command("set", "top_k  5")),
        ("//help", "/help"),
        ("//", "/"),
        ("/usr/bin\n/usr/lib", "/usr/bin\n/usr/lib"),
        ("// a comment\nx = 1", "// a comment\nx = 1"),
        ('"""one"""', "one"),
        ('""""""', ""),
        ('"""a\n\n b\n""" ', "a\n\n b"),
        ('say """x', 'say """x'),
        ('/system """Be\nbrief."""', '/system """Be\nbrief."""'),
    ],
)
def test_one_line_or_what_was_pasted(line: str, read_as: str | Command) -> None:
    assert list(turns(line, "next")) == [read_as, "next"]


def test_several_lines() -> None:
    typed = ['"""', "/help", "", '"""quoted" x', 'end"""', '/system """Be', 'brief."""', "next"]
    block = '/help\n\n"""quoted" x\nend'
    assert list(turns(*typed)) == [block, Command("system", "Be\nbrief."), "next"]
    with pytest.raises(UsageError, match='begins a text that no """ ends'):
        list(turns('"""', "a"))
