"""Metrics are a JSON object a line, whatever the numbers and however the last line ended."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from groundup.base.errors import GroundupError, RunError
from groundup.runs import RunFolder, append_line, cut_back, read_lines
from groundup.runs.manifest import Manifest


def test_lines_come_back_and_are_plain_json(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    records: list[dict[str, Any]] = [{"step": 1, "text": "é\n☃"}, {"step": 2, "loss": 0.1}]
    for record in records:
        append_line(path, record)
    append_line(path, {"step": 3, "loss": math.nan, "norm": math.inf})
    assert list(read_lines(path)) == [*records, {"step": 3, "loss": "nan", "norm": "inf"}]
    assert len(path.read_text(encoding="utf-8").splitlines()) == 3


def test_a_line_cut_short_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n[1]\nnull\n{"step": 2}\n{"st')
    assert [record["step"] for record in read_lines(path)] == [1, 2]
    assert list(read_lines(tmp_path / "none")) == []


def test_what_came_after_a_checkpoint_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in range(6)) + '{"st')
    cut_back(path, 3)
    assert path.read_text() == "".join(json.dumps({"step": step}) + "\n" for step in range(4))
    cut_back(path, -1)
    assert path.read_bytes() == b""


def test_no_room_for_a_line(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match="No such file"):
        append_line(tmp_path / "none" / "metrics.jsonl", {})


def test_run_toml(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert not folder.exists()
    with pytest.raises(RunError, match="is not a run folder"):
        folder.read()
    tables = {"model": {"n_layers": 2}, "train": {}, "data": {}, "request": {}}
    folder.write(Manifest.of(tables))
    assert folder.exists()
    assert folder.read().as_table() == tables
    damages = {"format = 2": "reads format 1", "a b": "expected TOML", "format = 1": "model is"}
    for damage, words in damages.items():
        folder.manifest.write_text(damage)
        with pytest.raises(RunError, match=words):
            folder.read()
