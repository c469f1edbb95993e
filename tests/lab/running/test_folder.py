"""A folder of results that was damaged: what is whole is kept, the rest is measured again."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from groundup.base.errors import RunError
from groundup.lab.experiment import Cell
from groundup.lab.running.folder import BLOCK, LabFolder

CELL = Cell("study", "arm", 0.0, 1)
GOOD = {"loss": 1.5, "curve": [3.0, math.inf], "trains": True}


@pytest.fixture
def folder(tmp_path: Path) -> LabFolder:
    """A folder with one cell."""
    folder = LabFolder(tmp_path / "out", "toy")
    with folder.held():
        folder.add("good", CELL, GOOD, 2.0)
    return folder


def read_again(folder: LabFolder) -> dict[str, Any]:
    with folder.held():
        return folder.read()


@pytest.mark.parametrize(
    "changed",
    [
        {"values": {"loss": "much"}},
        {"values": {"loss": None}},
        {"values": {"loss": {"a": 1}}},
        {"values": {"loss": 10**400}},
        {"values": [["loss", 1.0]]},
        {"values": "loss"},
        {"seconds": "long"},
        {"seconds": "inf"},
        {"seconds": -1},
        {"seconds": 10**400},
        {"key": ["good"]},
    ],
)
def test_a_line_that_no_cell_has_left_is_passed_over(
    folder: LabFolder, changed: dict[str, Any]
) -> None:
    whole = {"key": "bad", **CELL._asdict(), "seconds": 1.0, "values": {"loss": 1.0}}
    with (folder.path / "results.jsonl").open("a") as file:
        file.write(json.dumps(whole | {"key": "whole"}) + "\n")
        file.write(json.dumps(whole | changed) + "\n")
    assert read_again(folder) == {"good": (GOOD, 2.0), "whole": ({"loss": 1.0}, 1.0)}


@pytest.mark.parametrize(
    "line", ["", "3", "[1]", "no JSON", '{"values": {}}', '{"values": {"a": %s}}']
)
def test_a_line_that_is_no_record_is_passed_over(folder: LabFolder, line: str) -> None:
    nested = "[" * 900 + "]" * 900
    with (folder.path / "results.jsonl").open("a") as file:
        file.write(line.replace("%s", nested) + "\n")
    assert read_again(folder) == {"good": (GOOD, 2.0)}


@pytest.mark.parametrize("length", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
def test_a_last_line_without_an_end_is_dropped(folder: LabFolder, length: int) -> None:
    path = folder.path / "results.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b"x" * length)
    assert read_again(folder) == {"good": (GOOD, 2.0)}
    assert path.read_bytes() == whole
    path.write_bytes(b"x" * length)
    assert read_again(folder) == {}
    assert path.read_bytes() == b""


def test_a_manifest_that_is_damaged_says_what_goes_on(folder: LabFolder) -> None:
    (folder.path / "lab.json").write_text("{")
    with pytest.raises(RunError, match="restore it, or choose another folder"):
        LabFolder(folder.path, "toy")
