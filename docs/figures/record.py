"""Record a first evening with groundup at a terminal of 80 columns, as a picture with text.

    python docs/figures/record.py

runs the commands below in an empty folder and writes `first-evening.svg` beside this file. It takes
a minute or two. Needs `pyte`, the default text (`groundup data get shakespeare`) and a system
with pseudo-terminals.
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import sys
import tempfile
import termios
from collections.abc import Iterator
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

import pyte

OUT = Path(__file__).with_name("first-evening.svg")
COMMANDS = [
    "groundup train --preset pico --steps 300 --set eval_every=100 --set sample_every=300",
    'groundup generate runs/shakespeare-pico "ROMEO:" --max-tokens 60 --seed 1',
    "groundup runs",
]
COLUMNS, LINES = 80, 400
"""More lines than any command prints: nothing scrolls away."""
CELL, ROW, MARGIN, BAR = 8.4, 19, 16, 30
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
GROUND, INK = "#16191d", "#e4e7eb"
COLOURS = {"yellow": "#e8c268", "brown": "#e8c268", "green": "#7fce8f", "red": "#f08a80"}
COLOURS |= {"cyan": "#7cc4f5", "magenta": "#e59bc8", "blue": "#8fb4ff"}
DIM = "#8b949e"


class Screen(pyte.Screen):
    """A terminal's screen that knows dim characters, which are kept as a colour of their own."""

    def select_graphic_rendition(self, *attributes: int, **options: Any) -> None:
        super().select_graphic_rendition(*attributes, **options)
        if 2 in attributes:
            self.cursor.attrs = self.cursor.attrs._replace(fg="dim")
        if 22 in attributes and self.cursor.attrs.fg == "dim":
            self.cursor.attrs = self.cursor.attrs._replace(fg="default")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for command in COMMANDS:
            rows += [*prompt(command), *run(command, folder), []]
    OUT.write_text(picture(rows[:-1]), encoding="utf-8")
    print(f"{OUT}: {len(rows)} lines, {OUT.stat().st_size:,} bytes")


Row = list[tuple[str, bool, str]]
"""Pieces of a line: text, whether it is bold, colour."""


def prompt(command: str) -> Iterator[Row]:
    """Yield what was typed, with a backslash where it is longer than a line."""
    line = "$"
    for word in command.split(" "):
        if len(line) + len(word) > COLUMNS - 3:
            yield [(f"{line} \\", True, INK)]
            line = "   "
        line += f" {word}"
    yield [(line, True, INK)]


def run(command: str, folder: str) -> list[Row]:
    """Run a command at a pseudo-terminal, and return what its screen shows in the end."""
    screen = Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    for output in terminal(command, folder):
        stream.feed(output)
    rows = [row_of(screen.buffer[y]) for y in range(LINES)]
    while rows and not rows[-1]:
        rows.pop()
    return rows


def terminal(command: str, folder: str) -> Iterator[bytes]:
    """Yield what a shell command writes to a terminal of `COLUMNS`."""
    own = Path(sys.executable).parent
    child, end = pty.fork()
    if not child:
        os.chdir(folder)
        os.environ |= {"PATH": f"{own}{os.pathsep}{os.environ['PATH']}", "TERM": "xterm-256color"}
        os.environ |= {"COLUMNS": str(COLUMNS), "LINES": "50"}
        os.execvp("sh", ["sh", "-c", command])
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    try:
        while output := os.read(end, 1 << 16):
            yield output
    except OSError:  # Linux says so when the other end is closed
        pass
    _, status = os.waitpid(child, 0)
    if status:
        sys.exit(f"{command}: ended with status {os.waitstatus_to_exitcode(status)}")


def row_of(cells: Any) -> Row:
    """Return a line of the screen as pieces of one look each, without the empty end."""
    line = [cells[x] for x in range(COLUMNS)]
    while line and line[-1].data == " ":
        line.pop()
    looks = groupby(line, key=lambda cell: (cell.bold, cell.fg))
    return [("".join(c.data for c in part), bold, colour(fg)) for (bold, fg), part in looks]


def colour(name: str) -> str:
    """Return how a terminal's colour is drawn."""
    if len(name) == 6 and not set(name) - set("0123456789abcdef"):
        return f"#{name}"
    return DIM if name == "dim" else COLOURS.get(name.removeprefix("bright"), INK)


def picture(rows: list[Row]) -> str:
    """Return the lines as an SVG: a window with text that can be selected."""
    width = round(COLUMNS * CELL + 2 * MARGIN)
    height = round(len(rows) * ROW + 2 * MARGIN + BAR)
    dots = "".join(
        f'<circle cx="{MARGIN + 6 + 20 * i}" cy="{BAR - 8}" r="6" fill="{fill}"/>'
        for i, fill in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    lines = "\n".join(
        text
        for i, row in enumerate(rows)
        if (text := "".join(pieces(row, BAR + MARGIN + (i + 0.75) * ROW)))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">\n'
        f"<title>A first evening with groundup</title>\n"
        f"<style>text {{ font: 14px {FONT}; white-space: pre; }} .b {{ font-weight: bold; }}"
        f"</style>\n"
        f'<rect width="100%" height="100%" rx="9" fill="{GROUND}"/>{dots}\n{lines}\n</svg>\n'
    )


def pieces(row: Row, y: float) -> Iterator[str]:
    """Yield the text elements of a line, each as wide as its cells whatever the font."""
    column = 0
    for text, bold, fill in row:
        if text.strip():
            at, width = MARGIN + column * CELL, len(text) * CELL
            weight = ' class="b"' if bold else ""
            yield (
                f'<text x="{at:.1f}" y="{y:.1f}" fill="{fill}" textLength="{width:.1f}" '
                f'lengthAdjust="spacingAndGlyphs" xml:space="preserve"{weight}>'
                f"{escape(text, quote=False)}</text>"
            )
        column += len(text)


if __name__ == "__main__":
    main()
