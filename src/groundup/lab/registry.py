"""The experiments by name. Their files are read, and not imported, to list them: no torch.

So a name and a question stand in `EXPERIMENT = Experiment(name="…", question="…")` as they are.
"""

from __future__ import annotations

import ast
import functools
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.base.errors import UsageError, nearest, shown

if TYPE_CHECKING:
    from groundup.lab.experiment import Experiment

FOLDER = Path(__file__).parent / "experiments"
CONSTANT = "EXPERIMENT"
"""The name of a module's experiment."""
OWN = (".toml", ".py")
"""Endings of files that hold an experiment of one's own."""
TOLD = ("name", "question", "least", "minutes")


@dataclass(frozen=True, kw_only=True)
class Described:
    """What is known of an experiment before it is imported; see `Experiment`."""

    name: str
    question: str
    least: float = 1.0
    minutes: float | None = None


@functools.cache
def experiment_files() -> dict[str, Path]:
    """Return the file of each experiment by its name, in the order of the names."""
    files = sorted(FOLDER.glob("[!_]*.py"))
    return {file.stem.replace("_", "-"): file for file in files}


def is_own(given: str | Path) -> bool:
    """Tell whether an experiment is given by its file."""
    return Path(given).suffix in OWN


def check_name(name: str) -> None:
    """Refuse a name that no experiment has."""
    known = experiment_files()
    if name not in known:
        raise UsageError(
            f"no experiment '{shown(name)}'; {nearest(name, known)}; one of your own is a file "
            "that ends in .toml or .py"
        )


def describe(name: str) -> Described:
    """Return what the file of an experiment says of it."""
    tree = ast.parse(experiment_files()[name].read_text("utf-8"))
    for node in tree.body:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
            continue
        if any(isinstance(t, ast.Name) and t.id == CONSTANT for t in node.targets):
            told: dict[str, Any] = {
                word.arg: ast.literal_eval(word.value)
                for word in node.value.keywords
                if word.arg in TOLD
            }
            return Described(**told)
    raise AssertionError(f"{name}: no {CONSTANT}")


def built_in(name: str) -> Experiment:
    """Import and return an experiment of ours."""
    module = importlib.import_module(f"groundup.lab.experiments.{experiment_files()[name].stem}")
    experiment: Experiment = getattr(module, CONSTANT)
    return experiment
