"""A digest of the code that measures: what another one measured is another figure.

That is the file of the experiment and what it takes from this room, apart from comments, the words
of a `Study`, and functions that return a `Finding`: those may change without a new measurement.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from groundup.base.errors import UsageError
from groundup.lab.identity import digest

ROOM = "groundup.lab."
CONCLUDES, CONCLUSIONS = "Finding", "groundup.lab.conclusions"
"""What a function says that it returns if it measures nothing, and a module of such functions."""

WORDS = {"conclude", "prediction", "question", "title", "equal", "measured", "minutes"}
"""Arguments of a `Study` and an `Experiment` that measure nothing."""


def code_digest(file: Path) -> str:
    """Return a digest of the code in a Python file with which cells are measured."""
    found: dict[str, str] = {}
    left = [file]
    while left:
        one = left.pop()
        if (name := str(one)) not in found:
            try:
                tree = _Measuring().visit(ast.parse(one.read_bytes()))
            except (SyntaxError, ValueError) as error:
                raise UsageError(f"{one}: expected Python, but {error}; mend the file") from error
            found[name] = ast.dump(tree)
            left += _needed(tree)
    return digest(sorted(found.values()))


class _Measuring(ast.NodeTransformer):
    """Leaves out what concludes, and what documents."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        """Return a function, unless it returns a finding."""
        if node.returns is not None and ast.unparse(node.returns) == CONCLUDES:
            return None
        return self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> ast.AST | None:
        """Return an argument, unless it only says or concludes something."""
        return None if node.arg in WORDS else self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:  # noqa: N802
        """Return a call, unless it is of a prediction."""
        says = isinstance(node.func, ast.Name) and node.func.id == "Prediction"
        return ast.Constant(None) if says else self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Return a statement, unless it is a string alone."""
        return None if isinstance(node.value, ast.Constant) else node


def _needed(tree: ast.AST) -> Iterator[Path]:
    """Yield the files of this room from which a file takes names that it uses."""
    nodes = list(ast.walk(tree))
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(ROOM):
            taken = {alias.asname or alias.name for alias in node.names}
            if taken & used and node.module != CONCLUSIONS:
                parts = str(node.module).removeprefix(ROOM).split(".")
                yield Path(__file__).parent.joinpath(*parts).with_suffix(".py")
