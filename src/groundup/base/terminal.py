"""Lines for a person: at a terminal they break between words, when piped each stays one line."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from groundup.base.output import UNENCODABLE, harmless, harmless_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

INDENT = 12
"""Width of the labels: what follows stands below itself where a line is broken."""
PROMPT_ENDS = "»"
"""Stands between a prompt and what the model wrote, where there is no style to tell them apart."""


def print_line(
    console: Console, label: str, text: str, style: str = "", *, indent: int = INDENT
) -> None:
    """Print a label and, to the right of `indent` columns, its text."""
    from rich.text import Text

    label, text = harmless_line(label), harmless_line(text)  # here already, as it has a width
    beside = (f"{label:<{indent - 1}} " if indent else "", "bold")
    print_below(console, Text.assemble(beside), Text.assemble((text, style)), indent)


def print_below(console: Console, label: Text, text: Text, indent: int = INDENT) -> None:
    """Print styled text beside a label, broken between words where a terminal ends."""
    from rich.text import Text

    if not console.is_terminal:
        console.print(label + text, soft_wrap=True)
        return
    width = max(1, console.width - max(indent, label.cell_len))
    for i, line in enumerate(text.wrap(console, width) or [Text()]):
        line.rstrip()
        console.print((Text(" " * indent) if i else label) + line, soft_wrap=True)


def print_command(console: Console, label: str, *words: str, indent: int = INDENT) -> None:
    """Print a command that can be copied: where it is broken, a backslash joins its lines."""
    from rich.text import Text

    room = console.width - indent - len(" \\")
    lines = [""]
    for word in map(_quoted, words):
        if console.is_terminal and lines[-1] and len(lines[-1]) + 1 + len(word) > room:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    beside = [label, *[""] * (len(lines) - 1)]
    after = [*[" \\"] * (len(lines) - 1), ""]
    for name, line, end in zip(beside, lines, after, strict=True):
        console.print(Text.assemble((f"{name:<{indent}}", "bold"), line, end), soft_wrap=True)


def _quoted(word: str) -> str:
    """Return a word as a shell reads it: in $'...' where it cannot be shown as it is."""
    if harmless_line(word) == word:
        return shlex.quote(word)
    return f"$'{''.join(map(_escaped, word))}'"


def _escaped(character: str) -> str:
    if character in "'\\":
        return f"\\{character}"
    if harmless_line(character) == character:
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", UNENCODABLE))


def has_style(console: Console) -> bool:
    """Return whether words can be told apart by how they look."""
    return console.color_system is not None or console.is_jupyter


def marked_prompt(console: Console, prompt: str) -> Text:
    """Return a prompt that is set apart from what follows: dim, or with a mark where nothing is."""
    from rich.text import Text

    prompt = harmless(prompt)
    if has_style(console) or not prompt.strip():
        return Text.assemble((prompt, "dim"))  # a span: the text that is added is not dim
    return Text(prompt + PROMPT_ENDS)
