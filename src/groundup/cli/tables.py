"""Tables for a person: aligned, as wide as they need to be when piped."""

from __future__ import annotations

from collections.abc import Sequence

from groundup.base.output import harmless


def print_rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their column names; columns of numbers are aligned to the right."""
    from rich.console import Console  # here, as --help needs none of it
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for i, column in enumerate(columns):
        numeric = i > 0 and all(row[i][:1].isdigit() or not row[i] for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    console = Console(highlight=False)
    for row in rows:
        table.add_row(*(Text(harmless(cell, console.file)) for cell in row))
    if not console.is_terminal:
        console.width = 1 << 16  # a table is never measured wider than its console
        console.width = max(80, console.measure(table).maximum)
    console.print(table)
