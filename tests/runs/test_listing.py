"""The list of runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from groundup.runs import run_lock
from groundup.runs.listing import list_runs

MakeRun = Callable[..., Path]


def test_the_list_of_runs(make_run: MakeRun) -> None:
    root = make_run("b-finished").parent
    make_run("a-empty", lines=[], samples=[])
    held = make_run("c-running", finished=False, steps=10)
    make_run("d-interrupted", finished=False, lines=[{"step": 7, "val_loss": 4.5}])
    (make_run("e-damaged") / "run.toml").write_text("format = ")
    make_run("f-classifier", job={"kind": "classifier"})
    (root / "no-run").mkdir()
    (root / "a-file").touch()
    with run_lock(held / "lock"):
        runs = {run.name: run for run in list_runs(root)}
    assert [name.partition("-")[0] for name in runs] == list("abcdef")
    assert [run.state for run in runs.values()] == [
        *("empty", "finished", "running", "interrupted", "damaged", "finished"),
    ]
    assert [run.kind for run in runs.values()] == [*["pretraining"] * 4, "", "classifier"]
    cut = runs["d-interrupted"]
    assert (cut.step, cut.steps, cut.best_val_loss, cut.parameters) == (7, 2000, 4.5, 3_713_536)
    files = [path for path in cut.path.rglob("*") if path.is_file()]
    assert cut.size_bytes == sum(path.stat().st_size for path in files)
    assert cut.updated is not None
    assert cut.updated.timestamp() == pytest.approx(max(p.stat().st_mtime for p in files))
    assert "expected TOML" in runs["e-damaged"].error


def test_one_run_that_cannot_be_read_hides_no_others(make_run: MakeRun) -> None:
    root = make_run("a-whole").parent
    metrics = make_run("b-damaged") / "metrics.jsonl"
    metrics.unlink()
    metrics.mkdir()
    whole, damaged = list_runs(root)
    assert (whole.state, whole.error, damaged.state) == ("finished", "", "damaged")
    assert damaged.error.startswith(f"{metrics}: Is a directory")


def test_no_folder_no_runs(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "absent") == []
