"""The list of runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from groundup.base.errors import GroundupError
from groundup.base.regular import entries_below
from groundup.runs import list_cache, listing, run_lock
from groundup.runs.ends import Ends, read_ends
from groundup.runs.listing import MANY, each_run, list_runs, run_folders
from groundup.runs.record import read_run

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


def test_a_list_tells_what_reading_all_does(make_run: MakeRun) -> None:
    root = make_run("a").parent
    make_run("b", finished=False, steps=400)
    make_run("c", lines=[])
    for run in list_runs(root):
        whole = read_run(run.path)
        assert (run.state, run.step, run.steps) == (whole.state, whole.step, whole.steps)
        assert (run.parameters, run.verdict) == (whole.parameters, whole.verdict)
        assert run.best_val_loss == whole.best.get("val_loss")


def test_runs_come_as_they_are_read(make_run: MakeRun) -> None:
    root = make_run("a", lines=[]).parent
    later = make_run("b", lines=[])
    found = each_run(root, run_folders(root))
    assert next(found).name == "a"
    (later / "metrics.jsonl").write_text('{"step": 3, "val_loss": 1.5}\n')
    assert next(found).step == 3


@pytest.mark.parametrize("when", [1e12, 1e18])
def test_a_file_of_any_date_hides_no_run(
    when: float, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dated(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
        for path, status in entries_below(folder):  # few file systems keep such a date
            names = [name for name in dir(status) if name.startswith("st_")]
            known = {name: getattr(status, name) for name in names} | {"st_mtime": when}
            yield path, os.stat_result(tuple(status), known)

    root = make_run("a", lines=[]).parent
    monkeypatch.setattr(listing, "entries_below", dated)
    (run,) = list_runs(root)
    assert (run.state, run.error, run.updated) == ("empty", "", None)


def test_a_model_of_impossible_size_hides_no_run(make_run: MakeRun) -> None:
    root = make_run("a", lines=[], model={"n_layers": 1 << 24}).parent
    begun = time.perf_counter()
    (run,) = list_runs(root)
    assert (run.parameters or 0) > 1 << 40
    assert time.perf_counter() - begun < 5  # counting them one by one takes minutes


# What is kept for the next time.


@pytest.fixture
def many(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of many runs that were read before; none may be read again."""
    monkeypatch.setenv("GROUNDUP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(list_cache, "JUST_NOW", -60.0)
    for number in range(MANY):
        line = {"step": 1, "train_loss": 2.0, "val_loss": 1.5 + number}
        make_run(f"{number:02d}", lines=[line], finished=False)
    root = tmp_path / "runs"
    list_runs(root)
    monkeypatch.setattr(listing, "read_ends", _not_again)
    return root


def _not_again(path: Path) -> Ends:
    raise GroundupError(f"{path} is read again")


def read_again(root: Path) -> list[str]:
    """Return the runs that a list reads anew."""
    return [run.name for run in list_runs(root) if run.error]


def test_what_has_not_changed_is_not_read_again(many: Path) -> None:
    runs = list_runs(many)
    assert [run.best_val_loss for run in runs] == [1.5 + number for number in range(MANY)]
    assert {run.state for run in runs} == {"interrupted"}
    assert runs[0].verdict.startswith("Up to step")
    with run_lock(many / "03" / "lock"):
        assert list_runs(many)[3].state == "running"


@pytest.mark.parametrize("name", ["metrics.jsonl", "run.toml"])
def test_what_has_changed_is_read_again(name: str, many: Path) -> None:
    path = many / "07" / name
    before = path.stat()
    path.write_text(path.read_text().replace("8.5", "7.5").replace("5", "6"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    (many / "09" / name).touch()
    assert read_again(many) == ["07", "09"]


def test_what_has_just_changed_is_not_kept(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_cache, "JUST_NOW", 60.0)
    monkeypatch.setattr(listing, "read_ends", read_ends)
    (many / "07" / "metrics.jsonl").write_text("")
    assert list_runs(many)[7].step == 0
    monkeypatch.setattr(listing, "read_ends", _not_again)
    assert read_again(many) == ["07"]


def test_files_that_a_folder_does_not_list_are_read_each_time(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "entries_below", lambda folder: iter(()))
    assert len(read_again(many)) == MANY
    monkeypatch.setattr(listing, "read_ends", read_ends)
    assert not read_again(many)
    monkeypatch.setattr(listing, "read_ends", _not_again)
    assert len(read_again(many)) == MANY


def test_a_cache_that_is_of_no_use_is_as_none(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache,) = (many.parent / "cache" / "runs").iterdir()
    content, everything = cache.read_text(), [run.name for run in list_runs(many)]
    monkeypatch.setattr(list_cache, "FORMAT", "of another version")
    assert read_again(many) == everything
    monkeypatch.undo()
    monkeypatch.setenv("GROUNDUP_CACHE", str(many.parent / "cache"))
    whole = list_runs(many)
    for damaged in (content[:-1], content.replace("1.5", "0.5"), "", "{}", "\0" * 100, "é\n{}"):
        cache.write_text(damaged)
        assert list_runs(many) == whole
    for make in (cache.mkdir, lambda: os.mkfifo(cache), lambda: cache.symlink_to("/dev/zero")):
        cache.unlink()
        make()
        assert list_runs(many) == whole
        if cache.is_dir():
            cache.rmdir()
            cache.touch()
    monkeypatch.setenv("GROUNDUP_CACHE", str(many / "00" / "run.toml"))
    assert list_runs(many) == whole


def test_one_that_stops_looking_keeps_what_was_read(many: Path) -> None:
    (cache,) = (many.parent / "cache" / "runs").iterdir()
    (many / "00" / "metrics.jsonl").touch()
    found = each_run(many, run_folders(many))
    assert next(found).error
    assert isinstance(found, Generator)
    found.close()
    assert cache.exists()
    assert read_again(many) == ["00"]
