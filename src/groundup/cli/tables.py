"""Tables and lines for a person: they keep to a terminal's width; piped, a row is a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from groundup.base.terminal import print_command, print_line

if TYPE_CHECKING:
    from rich.console import Console

GAP = 2
LEAST_WORDS = 14
"""A column of words is not made narrower than this, nor than its longest word."""
LONGEST_FIGURE = 24
"""What begins with a digit and is longer is a sentence."""
INDENT = 10

Row = Sequence[str]


def say(label: str, text: str) -> None:
    """Print a labelled line of what a verb did."""
    print_line(_console(), label, text, indent=INDENT)


def suggest(label: str, *words: object) -> None:
    """Print a command that may come next."""
    print_command(_console(), label, *map(str, words), indent=INDENT)


def notice(text: str) -> None:
    """Print a line on standard error."""
    print_line(_console(stderr=True), "groundup:", text, indent=INDENT)


def print_text(text: str) -> None:
    """Print a line, broken between words where a terminal ends."""
    print_line(_console(), "", text, indent=0)


def print_rows(
    title: str, columns: Row, rows: Sequence[Row], *, dispensable: Sequence[str] = ()
) -> None:
    """Print rows under their column names; columns of numbers are aligned to the right.

    Where a terminal has no room, columns of words are broken between words. Where that does not do,
    `dispensable` columns are left out, the first one first, and named. Where not even that does,
    each row becomes a heading with a line for each of its figures.
    """
    console = _console()
    if title:
        print_line(console, "", title, "bold", indent=0)
    drawn = _Columns(columns, rows)
    if not console.is_terminal:
        console.width = drawn.room(drawn.widths)
        drawn.print(console, drawn.widths)
        return
    left_out: list[str] = []
    for name in ("", *dispensable):
        left_out += [name] * bool(name)
        drawn = _Columns(columns, rows, left_out)
        if drawn.room(drawn.least) <= console.width:
            drawn.print(console, drawn.fitted(console.width))
            if left_out:
                print_text(f"No room here for: {', '.join(left_out)}")
            return
    _print_records(console, columns, rows)


def _console(stderr: bool = False) -> Console:
    from rich.console import Console  # here, as --help needs none of it

    return Console(highlight=False, stderr=stderr)


def _width(cell: str) -> int:
    from rich.cells import cell_len

    return cell_len(cell)


class _Columns:
    """Columns of cells, each under its name, and how wide they are."""

    def __init__(self, columns: Row, rows: Sequence[Row], left_out: Sequence[str] = ()) -> None:
        kept = [i for i, column in enumerate(columns) if column not in left_out or not column]
        self.cells = [[columns[i], *(row[i] for row in rows)] for i in kept]
        self.numeric = [i > 0 and _is_numeric(cells[1:]) for i, cells in enumerate(self.cells)]
        self.widths = [max(map(_width, cells)) for cells in self.cells]
        self.least = [
            width if numeric else min(width, max(LEAST_WORDS, _longest_word(cells)))
            for cells, numeric, width in zip(self.cells, self.numeric, self.widths, strict=True)
        ]

    def room(self, widths: Sequence[int]) -> int:
        """Return the width that columns of such widths take together."""
        return sum(widths) + GAP * (len(widths) - 1)

    def fitted(self, width: int) -> list[int]:
        """Return widths that take `width` at most: the widest column gives first."""
        widths = list(self.widths)
        while self.room(widths) > width:
            giving = [i for i, least in enumerate(self.least) if widths[i] > least]
            widths[max(giving, key=lambda i: widths[i])] -= 1
        return widths

    def print(self, console: Console, widths: Sequence[int]) -> None:
        """Print them side by side."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
        for cells, numeric, width in zip(self.cells, self.numeric, widths, strict=True):
            table.add_column(Text(cells[0]), justify="right" if numeric else "left", width=width)
        for row in zip(*(cells[1:] for cells in self.cells), strict=True):
            table.add_row(*map(Text, row))
        console.print(table)


def _is_numeric(cells: Row) -> bool:
    return all(cell[:1].isdigit() and len(cell) <= LONGEST_FIGURE for cell in cells if cell)


def _longest_word(cells: Row) -> int:
    return max((_width(word) for cell in cells for word in cell.split()), default=0)


def _print_records(console: Console, columns: Row, rows: Sequence[Row]) -> None:
    """Print a heading a row, and below it its figures by name."""
    labels = [f"  {column}" for column in columns]
    indent = min(max(map(_width, labels[1:])) + GAP, console.width // 2)
    for heading, *figures in rows:
        print_line(console, "", heading, "bold", indent=0)
        for label, figure in zip(labels[1:], figures, strict=True):
            if figure:
                print_line(console, label, figure, indent=indent)
