"""Counts with their nouns."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import groundup
from groundup.base.words import counted

PACKAGE = Path(groundup.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
SHOWN = ("cli", "plan", "report")
"""Rooms whose every line is for people, and who know the helper."""


def test_one_is_singular() -> None:
    assert [counted(n, "document") for n in (0, 1, 2, 2300)] == [
        *("0 documents", "1 document", "2 documents", "2,300 documents"),
    ]


def test_counts_that_may_be_one_are_written_by_it() -> None:
    """A number in an f-string, straight before layers, heads, steps, documents or threads."""
    plural = re.compile(r"^ (layers|heads|steps|documents|threads|experts)\b")
    for path in SOURCES:
        if not set(SHOWN) & set(path.relative_to(PACKAGE).parts) and path.name != "screen.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.JoinedStr):
                continue
            for before, after in zip(node.values, node.values[1:], strict=False):
                words = after.value if isinstance(after, ast.Constant) else ""
                number = isinstance(before, ast.FormattedValue)
                assert not (number and plural.match(str(words))), f"{path}:{node.lineno}"
