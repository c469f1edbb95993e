"""Experiments are measured by processes, once each, whatever ends them in between."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from groundup.base.errors import GroundupError, UsageError
from groundup.base.lock import file_lock
from groundup.lab import Experiment, Finding, Study, run_experiment
from groundup.lab.running import workers as workers_module
from groundup.lab.running.screen import LabScreen
from tests.cli.conftest import command_line, environment
from tests.lab import toy as toy_module

N_CELLS = 3 * 2 * 2 + 2 * 2


class Told(LabScreen):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, int]] = []
        self.verdicts: list[str] = []

    def begins(self, left: int, total: int, seconds: float | None) -> None:
        self.begun.append((left, total))

    def concluded(self, study: Study, finding: Finding) -> None:
        self.verdicts.append(finding.verdict)


def lines(folder: Path) -> list[dict[str, Any]]:
    raw = (folder / "results.jsonl").read_bytes()
    return [json.loads(line) for line in raw.splitlines()]


def by_cell(found: list[dict[str, Any]]) -> dict[tuple[Any, ...], Any]:
    """Return what was measured, but for the time that it took."""
    return {
        tuple(line[key] for key in ("study", "arm", "x", "seed")): {
            name: value for name, value in line["values"].items() if name != "cpu_seconds"
        }
        for line in found
    }


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure in this process, to spare the start of others."""
    monkeypatch.setattr(
        "groundup.lab.running.run.Workers", lambda size: workers_module.InThisProcess()
    )


def no_process(*arguments: str, **options: Any) -> Any:
    raise AssertionError("a process was started")


def test_processes_measure_what_one_measures_and_nothing_twice(
    tmp_path: Path, toy: Path, story: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, folder = Told(), tmp_path / "out"
    monkeypatch.chdir(tmp_path)
    for name in ("json", "torch", "queue"):  # nothing is imported from the working folder
        Path(f"{name}.py").write_text("open('planted', 'w')")
    report = run_experiment(toy, text=story, folder=folder, processes=2, screen=told)
    assert report.verdict == " ".join(told.verdicts)
    assert "There are 12 norms." in report.verdict
    words = ["groundup", "lab", str(toy), "--text", story, "--processes", "2"]
    assert report.command == [*words, "--out", str(folder)]
    found = lines(folder)
    assert len(found) == len({line["key"] for line in found}) == N_CELLS
    assert report.seconds > 0
    assert not Path("planted").exists()

    monkeypatch.setattr(workers_module, "start_python", no_process)
    again = Told()
    run_experiment(toy, text=story, folder=folder, processes=2, screen=again)
    assert again.begun == [(0, N_CELLS)]
    assert again.verdicts == told.verdicts
    assert lines(folder) == found

    experiment: Experiment = toy_module.EXPERIMENT  # an object: measured in this process
    run_experiment(experiment, text=story, folder=tmp_path / "here")
    assert by_cell(lines(tmp_path / "here")) == by_cell(found)


def test_what_stays_on_disk(tmp_path: Path, story: str) -> None:
    folder = tmp_path / "out"
    run_experiment(toy_module.EXPERIMENT, text=story, folder=folder)
    raw = (folder / "verdict.json").read_text()
    assert "Infinity" not in raw
    verdict = json.loads(raw)
    assert verdict["verdict"].startswith("There are 12 norms.")
    assert verdict["came_out"] is True
    assert [s["prediction"] for s in verdict["studies"]] == ["all will be well"] * 2
    assert verdict["studies"][0]["figures"] == {"lost": None}
    assert verdict["not_finite"] == ["studies[0].figures.lost"]
    with (folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    norms = [row for row in rows if row["metric"] == "norm"]
    assert len(norms) == 12
    assert all(float(row["value"]) > 0 for row in norms)
    lost = {row["value"] for row in rows if (row["study"], row["metric"]) == ("start", "lost")}
    assert lost == {"Infinity"}
    assert [r["i"] for r in rows if r["metric"] == "first"][:8] == [str(i) for i in range(8)]


def test_the_study_of_one_kind_alone(tmp_path: Path, story: str) -> None:
    words: dict[str, Any] = {"text": story, "folder": tmp_path / "out"}
    for only in ("at-initialisation", "start"):
        report = run_experiment(toy_module.EXPERIMENT, only=only, **words)
        assert [study.name for study, _ in report.concluded] == ["start"]
    with pytest.raises(UsageError, match="--only strat: no such study; did you mean 'start'"):
        run_experiment(toy_module.EXPERIMENT, only="strat", **words)


@pytest.mark.usefixtures("here")
def test_a_last_line_cut_short_is_measured_again(tmp_path: Path, toy: Path, story: str) -> None:
    folder = tmp_path / "out"
    words: dict[str, Any] = {"text": story, "folder": folder, "only": "start"}
    run_experiment(toy, processes=1, **words)
    whole = lines(folder)
    raw = (folder / "results.jsonl").read_bytes()
    (folder / "results.jsonl").write_bytes(raw[:-20])
    run_experiment(toy, processes=1, **words)
    assert [c["values"] for c in lines(folder)] == [c["values"] for c in whole]


@pytest.mark.usefixtures("here")
def test_other_code_text_or_settings_are_measured_anew(
    tmp_path: Path, toy: Path, story: str
) -> None:
    words: dict[str, Any] = {"folder": tmp_path / "out", "only": "start", "processes": 1}

    def measured(text: str = story) -> int:
        before = n_lines(toy)
        run_experiment(toy, text=text, **words)
        return n_lines(toy) - before

    assert measured() == 12
    source = toy.read_text()
    toy.write_text(source.replace("There are", "Here are").replace("all will be", "it goes"))
    assert measured() == 0, "its words and its conclusion alone are others"
    toy.write_text(source.replace("weight.norm()", "2 * weight.norm()"))
    assert measured() == 12
    toy.write_text(source.replace('"emb_dim": 8', '"emb_dim": 16'))
    assert measured() == 12
    other = tmp_path / "other.txt"
    other.write_text(Path(story).read_text() + "The end.\n")
    assert measured(str(other)) == 12
    toy.write_text(source)
    assert measured() == 0, "what was measured first is still there"


def test_a_measurement_that_fails_says_where(tmp_path: Path, toy: Path, story: str) -> None:
    toy.write_text(toy.read_text().replace("weight.norm()", "weight / {}"))
    with pytest.raises(GroundupError) as raised:
        run_experiment(toy, text=story, folder=tmp_path / "out", processes=1, only="start")
    said = str(raised.value)
    assert said.startswith("start: gelu, 1, seed 1: TypeError: unsupported operand")
    assert "(toy.py, line 3" in said
    assert "in weight" in str(raised.value.__cause__)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("value", ["'much'", "[1.0, 'much']", "{1: 2}"])
def test_what_is_no_number_is_refused(tmp_path: Path, toy: Path, story: str, value: str) -> None:
    toy.write_text(toy.read_text().replace("math.nan", value))
    with pytest.raises(GroundupError, match=r"none is .*; expected a number or a list of numbers"):
        run_experiment(toy, text=story, folder=tmp_path / "out", processes=1, only="start")


def slow(toy: Path, seconds: float) -> None:
    toy.write_text(toy.read_text().replace('"nap": 0.0', f'"nap": {seconds}'))


def start(toy: Path, story: str) -> subprocess.Popen[str]:
    words = ("lab", toy, "--text", story, "--out", "out", "--processes", 1, "--only", "start")
    return subprocess.Popen(
        command_line(*words),
        cwd=toy.parent,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(happened: Any, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Return the processes that measure for a process."""
    tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
    return [int(number) for task in tasks for number in task.read_text().split()]


def n_lines(toy: Path) -> int:
    path = toy.parent / "out" / "results.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def gone(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("stop", "status"),
    [
        (signal.SIGKILL, -signal.SIGKILL),
        (signal.SIGINT, 128 + signal.SIGINT),
    ],
)
def test_what_is_killed_goes_on(toy: Path, story: str, stop: int, status: int) -> None:
    slow(toy, 0.3)
    process = start(toy, story)
    wait_for(lambda: n_lines(toy) >= 3, process)
    workers = workers_of(process)
    assert len(workers) == 1
    process.send_signal(stop)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    if stop != signal.SIGKILL:
        assert err == "groundup: interrupted; the same command goes on where it stopped\n"
    until = time.monotonic() + 30
    while not all(map(gone, workers)):
        assert time.monotonic() < until, "its workers live on"
        time.sleep(0.02)
    before = n_lines(toy)
    assert before < 12
    folder = toy.parent / "out"
    run_experiment(toy, text=story, folder=folder, processes=1, only="start")
    found = lines(folder)
    assert len({line["key"] for line in found}) == len(found) == 12


def test_a_worker_that_is_killed_is_one_line(toy: Path, story: str) -> None:
    slow(toy, 1)
    process = start(toy, story)
    wait_for(lambda: n_lines(toy) >= 5, process)  # those that were timed before, and more
    os.kill(workers_of(process)[0], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith("groundup: start: ")
    assert "was killed, as the system does where memory runs out" in err
    assert "run the same command again" in err
    assert err.count("\n") == 1


def test_two_in_one_folder(tmp_path: Path, story: str) -> None:
    folder = tmp_path / "out"
    run_experiment(toy_module.EXPERIMENT, text=story, folder=folder, only="start")
    with (
        file_lock(folder / "lock", lambda process: None),
        pytest.raises(GroundupError, match=f"process {os.getpid()} is measuring here"),
    ):
        run_experiment(toy_module.EXPERIMENT, text=story, folder=folder, only="start")


def test_a_budget_gives_more_seeds_and_is_the_same_again(tmp_path: Path, story: str) -> None:
    words: dict[str, Any] = {"text": story, "folder": tmp_path / "out"}
    report = run_experiment(toy_module.EXPERIMENT, budget=6.0, **words)
    seeds = len(report.concluded[1].study.seeds)
    assert seeds > 2
    told = Told()
    again = run_experiment(toy_module.EXPERIMENT, budget=6.0, screen=told, **words)
    assert len(again.concluded[1].study.seeds) == seeds
    assert told.begun == [(0, 12 + 2 * seeds)]
    with pytest.raises(UsageError) as raised:
        run_experiment(toy_module.EXPERIMENT, budget=1e-3, **words)
    for part in (
        "toy: --budget 0.001 s is too small",
        "seeds of the study 'end' would fit",
        "give --budget ",
    ):
        assert part in str(raised.value)


def test_what_only_python_can_give(tmp_path: Path, story: str) -> None:
    for wrong in (0, -1, float("nan"), float("inf"), "1h", True):
        with pytest.raises(UsageError, match=r"budget = .*expected seconds"):
            run_experiment(toy_module.EXPERIMENT, budget=wrong, text=story)  # type: ignore[arg-type]
    for number in (0, -1, 1.5, "2"):
        with pytest.raises(UsageError, match=r"processes = .*expected 1 to 1024"):
            run_experiment(toy_module.EXPERIMENT, processes=number, text=story)  # type: ignore[arg-type]
    for name, value in (("text", 3), ("only", 3), ("folder", 3)):
        with pytest.raises(UsageError, match=f"{name} = 3: expected"):
            run_experiment(toy_module.EXPERIMENT, **{"text": story, name: value})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="experiment = 3: expected a name"):
        run_experiment(3, text=story)  # type: ignore[arg-type]
    folder = str(tmp_path / "out")
    partial_studies = replace(toy_module.EXPERIMENT, studies=partial(toy_module.studies))
    report = run_experiment(partial_studies, text=story, folder=folder, only="start")
    assert report.folder == Path(folder)


def test_a_file_by_another_name_is_found_by_each_process(
    tmp_path: Path, toy: Path, story: str
) -> None:
    table = tmp_path / "kept-there.toml"
    table.write_text(
        'question = "?"\nsteps = 1\nseeds = 2\n[model]\ncontext_length = 8\nemb_dim = 8\n'
        "n_heads = 1\nn_layers = 1\n[arms.a]\n[arms.b]\nffn_dim = 8\n"
    )
    link = tmp_path / "linked.toml"
    link.symlink_to(table)
    report = run_experiment(link, text=story, folder=tmp_path / "out", processes=1)
    assert report.name == "linked"
