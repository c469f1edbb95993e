"""The notebooks in examples/ run from top to bottom, and show what running them gives."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))
VARIES = "varies"
"""A cell with this tag has learnt or drawn something: another machine may round it otherwise."""


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS


def shown(cell: Any) -> list[str]:
    """Return what a cell shows as text."""
    outputs = [output.get("text") or output["data"]["text/plain"] for output in cell["outputs"]]
    return [""] * len(outputs) if VARIES in cell["metadata"].get("tags", []) else outputs


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_its_outputs_are_those_it_is_kept_with(path: Path, tmp_path: Path) -> None:
    kept = nbformat.read(path, as_version=4)
    again = copy.deepcopy(kept)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(again, timeout=120, kernel_name="python3", resources=resources).execute()
    code = [i for i, cell in enumerate(kept.cells) if cell["cell_type"] == "code"]
    assert any(shown(kept.cells[i]) for i in code)
    for i in code:
        assert shown(kept.cells[i]) == shown(again.cells[i]), kept.cells[i]["source"]
