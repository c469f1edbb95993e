"""Lines at terminals of several widths, and piped."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Span, Text

from groundup.base.console import HarmlessConsole
from groundup.base.output import harmless
from groundup.base.terminal import marked_prompt, print_command, print_line

TEXT = "by position: there are fewer than 20 different documents, so the last 10% validates"


def shown(show: Callable[[Console], Any], width: int | None) -> list[str]:
    """Return the lines that a terminal of so many columns shows, or a pipe for None."""
    out = io.StringIO()
    show(Console(file=out, width=width or 80, force_terminal=bool(width), color_system=None))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [120, 80, 40, 30])
def test_a_line_breaks_between_words_under_its_label(width: int) -> None:
    lines = shown(lambda console: print_line(console, "Text", TEXT), width)
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("Text        by position")
    assert all(line[:12] == " " * 12 for line in lines[1:])
    assert " ".join(line[12:] for line in lines).split() == TEXT.split()


def test_piped_it_stays_one_line() -> None:
    assert shown(lambda console: print_line(console, "Text", TEXT), None) == [f"Text        {TEXT}"]


def test_only_the_label_is_bold() -> None:
    out = io.StringIO()
    console = Console(file=out, width=30, force_terminal=True, color_system="standard")
    print_line(console, "Text", "one two three four five", "yellow")
    assert re.findall(r"\x1b\[(\d+)m([^\x1b]*)", out.getvalue()) == [
        *(("1", "Text        "), ("0", ""), ("33", "one two three four"), ("0", "\n            ")),
        *(("33", "five"), ("0", "\n")),
    ]


def test_a_label_wider_than_its_column_stands_apart() -> None:
    [line] = shown(lambda console: print_line(console, "Step 12,345,678", "loss 2"), None)
    assert line == "Step 12,345,678 loss 2"


@pytest.mark.parametrize("width", [None, 120, 40])
def test_a_command_can_be_copied_however_it_is_broken(width: int | None) -> None:
    words = ["groundup", "generate", "runs/story", "The old king's", "--temperature", "0.7"]
    lines = shown(lambda console: print_command(console, "Next", *words), width)
    assert (len(lines) > 1) == (width == 40)
    assert max(map(len, lines)) <= (width or 200)
    assert shlex.split("\n".join(line[12:] for line in lines).replace("\\\n", "")) == words


def test_a_command_with_odd_characters_can_be_copied_too() -> None:
    words = ["generate", os.fsdecode(b"a\x1b[2J\xff'\\\xc2\x9b\n b"), "é"]
    [line] = shown(lambda console: print_command(console, "", *words, indent=0), None)
    assert line == harmless(line)
    done = subprocess.run(["bash", "-c", f"printf '%s|' {line}"], capture_output=True, check=True)
    assert done.stdout == b"".join(os.fsencode(word) + b"|" for word in words)


def test_a_console_shows_no_control_character_but_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = Table("a\x1b[31m", "b\r")
    table.add_row("[b]c[/b]\x9b", Text("d\x07", "red"))
    HarmlessConsole().print("e\x1b]0;f", table, markup=False)
    shown = capsys.readouterr().out
    assert shown == harmless(shown)
    assert "e␛]0;f" in shown


def test_a_prompt_is_dim_or_has_a_mark_at_its_end() -> None:
    styled = Console(file=io.StringIO(), force_terminal=True, color_system="standard")
    assert marked_prompt(styled, "The [king]").plain == "The [king]"
    written = marked_prompt(styled, "The") + Text(" king")
    assert [span for span in written.spans if span.style] == [Span(0, 3, "dim")]
    plain = Console(file=io.StringIO())
    assert marked_prompt(plain, "The [king]").plain == "The [king]»"
    assert marked_prompt(plain, "").plain == ""
