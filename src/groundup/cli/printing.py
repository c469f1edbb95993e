"""Tables and lines for a person: they keep to a terminal's width; piped, a row is a line.

Save where sentences are to be read: a table of these keeps to the width of a page when piped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, cycle
from typing import TYPE_CHECKING

from groundup.base.output import harmless_line
from groundup.base.terminal import print_command, print_line

if TYPE_CHECKING:
    from rich.console import Console

GAP = 2
LEAST_WORDS = 14
"""A column of words is not made narrower than this, nor than its longest word."""
LONGEST_WORD = 24
"""What is longer is a hash or a path, and may be broken anywhere, save in the first column."""
LONGEST_FIGURE = 24
"""What begins with a digit and is longer is a sentence."""
INDENT = 10
UNBROKEN = 10_000

Row = Sequence[str]


def say(label: str, text: str, indent: int = INDENT) -> None:
    """Print a labelled line of what a verb did."""
    print_line(_console(), label, text, indent=indent)


def suggest(label: str, *words: object) -> None:
    """Print a command that may come next."""
    print_command(_console(), label, *map(str, words), indent=INDENT)


def print_text(text: str) -> None:
    """Print a line, broken between words where a terminal ends."""
    print_line(_console(), "", text, indent=0)


def print_preformatted(line: str) -> None:
    """Print a line as it is, such as one of a table that was laid out before."""
    _console().print(line, soft_wrap=True, markup=False)


def screen_width() -> int:
    """Return the columns of the terminal; where there is none, lines are not broken."""
    console = _console()
    return console.width if console.is_terminal else UNBROKEN


def print_rows(
    title: str,
    columns: Row,
    rows: Sequence[Row],
    *,
    dispensable: Sequence[str] = (),
    to_read: bool = False,
) -> None:
    """Print rows under their column names; columns of numbers are aligned to the right.

    Where a terminal has no room, columns of words are broken between words. Where that does not do,
    `dispensable` columns are left out, the first one first, and named. Where not even that does,
    each row becomes a heading with a line for each of its figures. Piped, a row is a line, unless
    it is `to_read`, such as one of sentences.
    """
    console = _console()
    if title:
        print_line(console, "", title, "bold", indent=0)
    table = [
        _Column([name, *(row[i] for row in rows)], is_first=i == 0)
        for i, name in enumerate(columns)
    ]
    if not (console.is_terminal or to_read):
        console.width = _room(column.widest for column in table)
        _print_table(console, table, rows)
        return
    table, left_out = _shortened(table, dispensable, console.width)
    if not table:
        _print_records(console, columns, rows)
        return
    _print_table(console, table, zip(*(column.cells for column in table), strict=True))
    _tell_left_out(left_out)


def _shortened(
    table: Sequence[_Column], dispensable: Sequence[str], room: int
) -> tuple[list[_Column], list[str]]:
    """Return the columns for which there is room, if any, and the names of those left out."""
    for n_left_out in range(len(dispensable) + 1):
        left_out = list(dispensable[:n_left_out])
        columns = [column for column in table if column.name not in left_out]
        if _room(column.least for column in columns) <= room:
            return columns, left_out
    return [], []


def _tell_left_out(names: Sequence[str]) -> None:
    if names:
        print_text(f"No room here for: {', '.join(names)}")


def print_parts(
    likely: Mapping[str, Sequence[str]],
    parts: Iterable[Sequence[Row]],
    *,
    dispensable: Sequence[str] = (),
) -> None:
    """Print rows as they come: those of all parts under one line of column names.

    `likely` has for each column some cells that are as wide as any may be; `dispensable` as in
    `print_rows`.
    """
    console = _console()
    table = [
        _Column([name, *cells], is_first=i == 0) for i, (name, cells) in enumerate(likely.items())
    ]
    if not console.is_terminal:
        console.width = _room(column.widest for column in table)
    columns, left_out = _shortened(table, dispensable, console.width)
    shown = [table.index(column) for column in columns]
    for number, rows in enumerate(parts):
        if columns:
            kept = ([row[i] for i in shown] for row in rows)
            _print_table(console, columns, kept, named=number == 0)
        else:
            _print_records(console, list(likely), rows)
    _tell_left_out(left_out)


@contextlib.contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar with the time left, on a terminal only; yield what takes (done, total)."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from groundup.base.console import HarmlessConsole

    console = HarmlessConsole(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    progress = Progress(
        *columns, console=console, transient=True, expand=True, disable=not console.is_terminal
    )
    task = progress.add_task(what, total=None)
    with progress:
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _console() -> Console:
    from groundup.base.console import HarmlessConsole  # here, as --help needs none of it

    return HarmlessConsole()


def _width(cell: str) -> int:
    from rich.cells import cell_len

    return cell_len(harmless_line(cell))


class _Column:
    """A column of cells under its name, as wide as it is, and as narrow as it may become."""

    def __init__(self, cells: Row, is_first: bool) -> None:
        self.name, *self.cells = cells
        self.numeric = not is_first and all(map(_is_figure, self.cells))
        self.widest = max(map(_width, cells))
        longest = max((_width(word) for cell in cells for word in cell.split()), default=0)
        words = longest if is_first else min(longest, LONGEST_WORD)
        self.least = self.widest if self.numeric else min(self.widest, max(LEAST_WORDS, words))


def _is_figure(cell: str) -> bool:
    return not cell or (cell[:1].isdigit() and len(cell) <= LONGEST_FIGURE)


def _room(widths: Iterable[int]) -> int:
    """Return the width that columns of such widths take together."""
    return sum(width + GAP for width in widths) - GAP


def _fitted(table: Sequence[_Column], room: int) -> list[int]:
    """Return widths of columns that take `room` at most: the widest gives first."""
    widths = [column.widest for column in table]
    while _room(widths) > room:
        giving = [i for i, column in enumerate(table) if widths[i] > column.least]
        widths[max(giving, key=lambda i: widths[i])] -= 1
    return widths


def _print_table(
    console: Console, columns: Sequence[_Column], rows: Iterable[Row], named: bool = True
) -> None:
    """Print rows of cells side by side, under the names of their columns."""
    from rich.table import Table
    from rich.text import Text

    widths, kept = _fitted(columns, console.width), list(rows)
    names = [column.name for column in columns]
    plain = all(map(_fits, [*names, *chain(*kept)], cycle(widths)))
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), show_header=named)
    for column, width in zip(columns, widths, strict=True):
        table.add_column(
            Text(column.name),
            justify="right" if column.numeric else "left",
            width=width,
            overflow="fold",
        )
    for row in [] if plain else kept:
        table.add_row(*(Text(harmless_line(cell)) for cell in row))
    console.print(table, end="" if plain and not named else "\n")
    if plain:  # a table of rich takes a second for 3,000 rows
        console.file.write("".join(f"{_line(columns, widths, row)}\n" for row in kept))
        console.file.flush()


def _fits(cell: str, width: int) -> bool:
    """Say whether a cell is one line as it is, and of no more than this width."""
    return cell.isprintable() and _width(cell) <= width


def _line(columns: Sequence[_Column], widths: Sequence[int], row: Row) -> str:
    cells = []
    for column, width, cell in zip(columns, widths, row, strict=True):
        room = " " * (width - _width(cell))
        cells.append(room + cell if column.numeric else cell + room)
    return (" " * GAP).join(cells)


def _print_records(console: Console, columns: Row, rows: Sequence[Row]) -> None:
    """Print a heading a row, and below it its figures by name."""
    labels = [f"  {column}" for column in columns]
    indent = min(max(map(_width, labels[1:])) + GAP, console.width // 2)
    for heading, *figures in rows:
        print_line(console, "", heading, "bold", indent=0)
        for label, figure in zip(labels[1:], figures, strict=True):
            if figure:
                print_line(console, label, figure, indent=indent)
