"""How findings are said: numbers with the digits that mean something, plain sentences, tables."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence

from groundup.lab.experiment import Concluded, Difference, Finding, Table
from groundup.plan.units import decimals

METRICS = {"train_loss": "training loss", "val_loss": "validation loss"}
SMALLEST = 1e-4
"""Numbers that need more decimals than this has are written with an exponent."""
GAP = 2
"""Columns between those of a table."""
LEAST_NAME = 12
"""Columns that the name of a row gets at least, if it needs them."""
PREDICTED = {
    True: "the prediction came out",
    False: "the prediction did not come out",
    None: "the prediction is left open",
}


def metric_words(metric: str) -> str:
    """Return what a metric is called in a sentence: "train_loss" is the training loss."""
    return METRICS.get(metric, metric.replace("_", " "))


def number(value: float, scale: float = 0.0, sign: bool = False) -> str:
    """Write a number so precisely that `scale`, by default itself, has two digits.

    Where a scale is given it is the uncertainty: digits beyond would mean nothing.
    """
    if not (math.isfinite(value) and math.isfinite(scale)):
        return f"{value:{'+' if sign else ''}g}"
    scale = abs(scale) or abs(value) / 100
    if 0 < scale < SMALLEST / 10:
        return f"{value:{'+' if sign else ''}.2e}"
    rounded = round(value, decimals(scale)) + 0.0  # never -0
    return f"{rounded:{'+' if sign and rounded else ''},.{decimals(scale)}f}"


def at_x(x: float) -> str:
    """Write a swept value as it was given: 0.0003, 12, 1e-05."""
    return f"{x:,.0f}" if float(x).is_integer() and abs(x) < 1e15 else f"{x:g}"


def range_words(low: float, high: float) -> str:
    """Write a range, with digits that its width lends meaning."""
    scale = (high - low) / 2
    return f"{number(low, scale)} to {number(high, scale)}"


def p_words(p: float) -> str:
    """Write a probability: 0.04, below 0.001."""
    return "<0.001" if p < 0.001 else f"{p:.2g}"


def reach(difference: Difference) -> float:
    """Return half the width of a difference's interval: how uncertain it is."""
    return (difference.interval[1] - difference.interval[0]) / 2


def joined(parts: Sequence[str]) -> str:
    """Return parts as a list in a sentence: a, b and c; by semicolons where one has a comma."""
    *others, last = parts
    comma = "; " if any(", " in part for part in parts) else ", "
    return f"{comma.join(others)} and {last}" if others else last


def capital(sentence: str) -> str:
    """Return a sentence with a large first letter, and the others as they are."""
    return sentence[:1].upper() + sentence[1:]


def outcomes(concluded: Sequence[Concluded]) -> str:
    """Return in a sentence how many predictions came out, and of which studies not."""
    if len(concluded) == 1:
        return f"{capital(PREDICTED[concluded[0].finding.came_out])}."
    of: dict[bool | None, list[str]] = {True: [], False: [], None: []}
    for study, finding in concluded:
        of[finding.came_out].append(study.name)
    told = f"{len(of[True])} of {len(concluded)} predictions came out"
    told += f"; not that of {joined(of[False])}" if of[False] else ""
    return f"{told}{f'; left open: {joined(of[None])}' if of[None] else ''}."


def reading(findings: Sequence[Finding]) -> str:
    """Return how tables of differences are read; empty where none of the findings has any."""
    if not any(finding.differences for finding in findings):
        return ""
    return (
        "How to read differences: the 95% interval is of each by itself (Student's t over pairs of "
        "the same seed). p* is corrected for all differences of a study (Holm); a difference is "
        'seen where it is below 0.05. "Would show" is the smallest true difference that so many '
        "pairs, spread as these are, show 8 times in 10."
    )


def lines(finding: Finding, width: int) -> list[str]:
    """Return a finding for a screen of so many columns: its sentences, tables and notes."""
    out = textwrap.wrap(finding.verdict, width)
    for table in finding.tables:
        out += ["", *textwrap.wrap(table.title, width), *table_lines(table, width)]
    for note in finding.notes:
        out += ["", *textwrap.wrap(f"Note: {note}", width)]
    return out


def table_lines(table: Table, width: int) -> list[str]:
    """Return a table in columns, or row below row where the screen is too narrow for it.

    Names of rows that are too long are broken between words.
    """
    rows = [list(table.head), *(list(row) for row in table.rows)]
    first, *others = (max(len(row[i]) for row in rows) for i in range(len(table.head)))
    room = width - sum(others) - GAP * len(others)
    if room < min(first, LEAST_NAME):
        return list(_row_below_row(table, width))
    out, gap = [], " " * GAP
    for name, *cells in rows:
        *above, last = textwrap.wrap(name, room) or [""]
        beside = gap.join([last.ljust(min(first, room)), *map(str.rjust, cells, others)])
        out += [*above, beside.rstrip()]
    return out


def _row_below_row(table: Table, width: int) -> Iterator[str]:
    for first, *rest in table.rows:
        yield from textwrap.wrap(first, width)
        for name, cell in zip(table.head[1:], rest, strict=True):
            if cell:
                yield from textwrap.wrap(
                    f"{name}: {cell}", width, initial_indent="  ", subsequent_indent="    "
                )
