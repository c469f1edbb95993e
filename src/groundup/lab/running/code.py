"""A digest of the code that measures: what another one measured is another figure.

That is the file of the experiment and what it takes from this room, apart from comments, the words
of a `Study`, and functions that return a `Finding`: those may change without a new measurement.
"""

from __future__ import annotations

import ast
from pathlib import Path

from groundup.base.errors import UsageError
from groundup.base.regular import read_bytes
from groundup.lab.running.identity import digest

ROOM, FOLDER = "groundup.lab.", Path(__file__).parents[1]
CONCLUDES, CONCLUSIONS = "Finding", "groundup.lab.conclusions"
"""What a function says that it returns if it measures nothing, and where such functions are."""
WORDS = {"conclude", "prediction", "title", "equal", "measured"}
WORDS |= {"question", "answered_by", "minutes"}
"""Arguments of a `Study` and an `Experiment` that measure nothing."""


def code_digest(file: Path) -> str:
    """Return a digest of the code in a Python file with which cells are measured."""
    found: dict[str, str] = {}
    left = [file]
    while left:
        one = left.pop()
        if (name := str(one)) not in found:
            try:
                tree = _Measuring().visit(ast.parse(read_bytes(one)))
            except (SyntaxError, ValueError) as error:
                raise UsageError(f"{one}: expected Python, but {error}; mend the file") from error
            imports = _imports(tree)
            taken = sorted((module, sorted(names)) for module, names in imports.items())
            found[name] = f"{ast.dump(tree)} {taken}"
            left += map(_file_of, imports)
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

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Return a call, unless it is of a prediction."""
        says = isinstance(node.func, ast.Name) and node.func.id == "Prediction"
        return ast.Constant(None) if says else self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Return a statement, unless it is a string alone."""
        return None if isinstance(node.value, ast.Constant) else node


def _imports(tree: ast.Module) -> dict[str, set[str]]:
    """Return the modules of this room of which a file uses names, and forget its other imports."""
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    found: dict[str, set[str]] = {}
    for node in [n for n in tree.body if isinstance(n, ast.ImportFrom)]:
        names = used & {alias.asname or alias.name for alias in node.names}
        if str(node.module).startswith(ROOM):
            tree.body.remove(node)
            if names and not str(node.module).startswith(CONCLUSIONS):
                found.setdefault(str(node.module), set()).update(names)
    return found


def _file_of(module: str) -> Path:
    path = FOLDER.joinpath(*module.removeprefix(ROOM).split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
