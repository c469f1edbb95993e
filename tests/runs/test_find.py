"""A run by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from groundup.runs.find import find_run, near_runs


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("story-pico", "story-nano", "letters"):
        Path("runs", name).mkdir(parents=True)
        Path("runs", name, "run.toml").touch()
    return tmp_path


def test_a_path_that_exists_comes_before_a_bare_name(named: Path) -> None:
    assert find_run(Path("letters")) == Path("runs/letters")
    assert find_run(Path("none")) == Path("runs/none")
    assert find_run(Path("none"), named / "others") == named / "others" / "none"
    for path in (Path(), named / "runs" / "letters", Path("runs/letters"), Path("a/none")):
        assert find_run(path) == path
    Path("letters").mkdir()
    assert find_run(Path("letters")) == Path("letters")


def test_the_nearest_runs_are_named(named: Path) -> None:
    assert near_runs(Path("runs/leters")) == "did you mean runs/letters?"
    assert near_runs(Path("elsewhere/letters")) == "did you mean runs/letters?"
    assert near_runs(Path("story")) == "did you mean runs/story-nano or runs/story-pico?"
    assert near_runs(Path("runs/quite-different")) == ""
