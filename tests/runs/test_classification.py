"""classification.json: what is written is read again, and what is damaged is told in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from groundup.base.errors import GroundupError
from groundup.runs.classification import (
    ClassificationRecord,
    read_classification,
    write_classification,
)
from groundup.runs.folder import RunFolder
from tests.runs.classified import record


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = RunFolder(tmp_path).classification
    assert read_classification(path) is None
    write_classification(path, record())
    assert path.name == "classification.json"
    assert read_classification(path) == record()


def test_a_key_of_a_later_version_is_passed_over() -> None:
    values = record().as_dict()
    values["colour"] = values["test"]["colour"] = "blue"
    assert ClassificationRecord.from_dict(values) == record()


def spoilt(*path: Any, value: Any) -> Callable[[Any], None]:
    def change(values: Any) -> None:
        for key in path[:-1]:
            values = values[key]
        if value is None:
            del values[path[-1]]
        else:
            values[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (spoilt("format", value=2), "format is 2, this groundup reads format 1"),
        (spoilt("format", value=None), "format is None"),
        (spoilt("test", value=None), "the file has no test"),
        (spoilt("test", "accuracy", value="high"), "test.accuracy is 'high'"),
        (spoilt("test", "accuracy", value=True), "test.accuracy is True"),
        (spoilt("test", "accuracy", value=float("nan")), "test.accuracy is nan"),
        (spoilt("test", "ece_interval", value=[0.1]), "test.ece_interval is"),
        (spoilt("test", "classes", 0, "support", value=-1), r"test.classes\[0\].support is -1"),
        (spoilt("test", "classes", 0, "label", value=None), r"test.classes\[0\] has no label"),
        (spoilt("test", "confusion", value=[[1]]), "test.confusion is not a square of 2"),
        (spoilt("test", "classes", value=[]), "test.confusion is not a square of 0"),
        (spoilt("test", "bins", value=[]), "test.bins is empty"),
        (spoilt("baselines", "majority", value=[]), r"baselines.majority is \[\]"),
        (spoilt("errors", value={}), "errors is {}"),
        (spoilt("left_out", "duplicates", value=1.5), "left_out.duplicates is 1.5"),
    ],
)
def test_a_damaged_file_is_one_line(
    tmp_path: Path, change: Callable[[Any], None], words: str
) -> None:
    values = record().as_dict()
    values = json.loads(json.dumps(values))
    change(values)
    path = tmp_path / "classification.json"
    path.write_text(json.dumps(values))
    with pytest.raises(GroundupError, match=words) as caught:
        read_classification(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "[1, 2", "[]", "3", "null", "[" * 10_000, "\x00"])
def test_a_file_of_something_else_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "classification.json"
    path.write_text(text)
    with pytest.raises(GroundupError, match="expected"):
        read_classification(path)
