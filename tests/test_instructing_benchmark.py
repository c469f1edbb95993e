"""Each suite of the assistants' benchmark, on a model of a moment."""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("benchmarks", reason="the checkout's root is not on the path")
from benchmarks.assistant import reward
from benchmarks.classifier.cells import Cells
from benchmarks.tables import TABLES
from groundup.data.tasks import TEST, make_tasks
from groundup.runs import RunFolder
from tests.finetune.making import with_base


def here(module: str, job: dict[str, Any], threads: int) -> dict[str, Any]:
    """Measure in this process, and hand over what the other one would print."""
    return dict(json.loads(json.dumps(import_module(module).result(job))))


def nowhere(module: str, job: dict[str, Any], threads: int) -> dict[str, Any]:
    raise AssertionError(f"{module} was measured again")


def test_three_ways_to_learn_are_measured_once_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("groundup.train.choices.keep_freed_memory", lambda: None)
    work = with_base(tmp_path, context_length=256, drop_rate=0.0)
    options = argparse.Namespace(
        seeds=1, kind="compare", quick=True, threads=1, minutes=5, pretrain=1, rate=0.001
    )
    found = reward.compare(options, Cells(work, 1, here), work / "base")
    row = found["rows"][0]
    assert [row[way]["questions"] for way in reward.WAYS] == [10, 10, 10]
    assert found["gains"]["answers"]["mean"] == row["reward"]["exact"] - row["answers"]["exact"]
    runs = {path.name.split("-")[1]: RunFolder(path) for path in (work / "runs").iterdir()}
    origins = {name: run.read().origin for name, run in runs.items()}
    first = {str(origin.run) for name, origin in origins.items() if origin and name != "answers"}
    assert len(first) == 1
    assert "cells-answers-1-" in first.pop()
    asked = runs["reward"].read().job
    assert asked is not None
    assert (asked.settings or {})["objective"] == "grpo"
    again = reward.compare(options, Cells(work, 1, nowhere), work / "base")
    assert json.dumps(again) == json.dumps(found)
    assert "| mean | " in TABLES["instructing_reward"](again)


def test_no_question_to_go_on_with_is_known_already_nor_asked_in_the_test(tmp_path: Path) -> None:
    paths = reward.tasks(tmp_path, "compare", reward.FIRST, reward.SECOND)
    parts = [
        {json.loads(line)["prompt"] for line in path.read_text().splitlines()} for path in paths
    ]
    assert [len(part) for part in parts] == [reward.FIRST, reward.SECOND]
    tests = {task.question for task in make_tasks(TEST, reward.TESTED, kinds=["compare"])}
    assert not parts[0] & parts[1]
    assert not (parts[0] | parts[1]) & tests
