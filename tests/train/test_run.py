"""Runs that stop and go on: the end is bit for bit what it would have been."""

from __future__ import annotations

import dataclasses
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

from groundup import TrainConfig, UsageError
from groundup.base.errors import GroundupError, RunError
from groundup.base.files import UNFINISHED
from groundup.runs import RunFolder, read_lines, run_lock
from groundup.runs.checkpoint import list_checkpoints, newest_intact
from groundup.runs.load import load
from groundup.runs.manifest import Manifest
from groundup.runs.record import read_run
from groundup.train import ConsoleScreen, TrainRequest, TrainRun, train_run
from groundup.train.automatic import AUTOMATIC
from groundup.train.progress import SIZES, Progress
from tests.processes import starting
from tests.processes.starting import MODEL
from tests.texts import text_file

SETTINGS = starting.SETTINGS | {"batch_size": 4}


class StopAt(ConsoleScreen):
    """Sends this process a signal when a step is done."""

    def __init__(self, step: int, number: int = signal.SIGTERM) -> None:
        super().__init__(Console(quiet=True))
        self.step = step
        self.number = number

    def metrics(self, record: dict[str, Any]) -> None:
        if record["step"] == self.step and "train_loss" in record:
            signal.raise_signal(self.number)


def request(folder: Path, **changes: Any) -> TrainRequest:
    if not (folder / "story.txt").exists():
        text_file(folder)
    model = {**MODEL, **{k: changes.pop(k) for k in list(changes) if k in ("drop_rate", *MODEL)}}
    preset, extend = changes.pop("preset", "pico"), changes.pop("extend", None)
    return TrainRequest(
        sources=(str(folder / "story.txt"),),
        preset=preset,
        model_changes=model,
        train=TrainConfig(**{**SETTINGS, **changes}),
        extend=extend,
        runs_folder=folder / "runs",
        data_folder=folder / "data",
    )


def quiet() -> ConsoleScreen:
    return ConsoleScreen(Console(quiet=True))


def weights(outcome: TrainRun) -> dict[str, torch.Tensor]:
    checkpoint, _ = newest_intact(outcome.folder.checkpoints)
    assert checkpoint is not None
    return {**checkpoint.model_tensors(), **checkpoint.trainer_tensors()}


def assert_same_bits(a: TrainRun, b: TrainRun) -> None:
    first, second = weights(a), weights(b)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def lines(outcome: TrainRun) -> list[dict[str, Any]]:
    return starting.lines(outcome.folder)


def folder(base: Path, name: str) -> Path:
    (base / name).mkdir()
    return base / name


@pytest.mark.parametrize("drop_rate", [0.0, 0.2])
@pytest.mark.parametrize("stops", [[7], [6, 7, 20], [1, 23]])
def test_a_resumed_run_equals_an_uninterrupted_one(
    tmp_path: Path, drop_rate: float, stops: list[int]
) -> None:
    whole = train_run(request(folder(tmp_path, "a"), drop_rate=drop_rate), quiet())
    pieces = folder(tmp_path, "b")
    for step in stops:
        stopped = train_run(request(pieces, drop_rate=drop_rate), StopAt(step))
        assert not stopped.progress.finished
        assert stopped.signal == signal.SIGTERM
    resumed = train_run(request(pieces, drop_rate=drop_rate), quiet())
    assert resumed.progress.finished
    assert_same_bits(whole, resumed)
    assert lines(whole) == lines(resumed)
    assert list(read_lines(whole.folder.samples)) == list(read_lines(resumed.folder.samples))


def test_a_killed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    settings = {"steps": 400, "eval_every": 20}
    whole = train_run(request(folder(tmp_path, "a"), **settings), quiet())
    base = folder(tmp_path, "b")
    ask = request(base, **settings)
    sets = {**MODEL, **SETTINGS, **settings}
    command = [sys.executable, "-m", "groundup", "train", *ask.sources, "--preset", "pico"]
    command += ["--runs", str(ask.runs_folder), "--data", str(ask.data_folder)]
    command += [word for key, value in sets.items() for word in ("--set", f"{key}={value}")]
    run = RunFolder(base / "runs" / ask.name())
    for at_least in (1, 3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while len(list(run.checkpoints.glob("step-*"))) < min(at_least, 2):
            assert process.poll() is None, "it ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.2 * at_least)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    resumed = train_run(ask, quiet())
    assert resumed.progress.finished
    assert_same_bits(whole, resumed)
    assert lines(whole) == lines(resumed)
    assert not list(run.checkpoints.glob(".*"))


def test_the_report_of_a_stopped_run_says_so_and_a_kill_leaves_no_older_one(
    tmp_path: Path,
) -> None:
    stopped = train_run(request(tmp_path), StopAt(7))
    assert "interrupted</span> step 7 of" in stopped.folder.report.read_text()
    assert read_run(stopped.folder.path).state == "interrupted"

    class Killed(ConsoleScreen):
        def metrics(self, record: dict[str, Any]) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_run(request(tmp_path), Killed(Console(quiet=True)))
    assert not stopped.folder.report.exists()
    train_run(request(tmp_path), quiet())
    assert "finished</span>" in stopped.folder.report.read_text()


def test_evaluating_and_sampling_change_nothing_that_is_learnt(tmp_path: Path) -> None:
    often = {"eval_every": 1, "sample_every": 1, "save_every": 1, "drop_rate": 0.1}
    never = {"eval_every": 99, "sample_tokens": 0, "drop_rate": 0.1}
    a = train_run(request(folder(tmp_path, "a"), **often), quiet())
    b = train_run(request(folder(tmp_path, "b"), **never), quiet())
    assert_same_bits(a, b)


def test_accumulated_micro_batches_learn_what_one_batch_learns(tmp_path: Path) -> None:
    whole = train_run(request(folder(tmp_path, "a"), batch_size=8), quiet())
    parts = train_run(request(folder(tmp_path, "b"), batch_size=2, accumulation=4), quiet())
    losses = [[r["train_loss"] for r in lines(o) if "train_loss" in r] for o in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_finished_run_says_so_and_stays(tmp_path: Path) -> None:
    first = train_run(request(tmp_path), quiet())
    before = first.folder.metrics.read_bytes()
    again = train_run(request(tmp_path), quiet())
    assert again.was_finished
    assert again.folder.metrics.read_bytes() == before


def test_a_run_killed_while_its_report_was_written_gets_it(tmp_path: Path) -> None:
    ask = request(tmp_path)
    run = train_run(ask, quiet()).folder
    run.report.rename(run.path / f"{UNFINISHED}{run.report.name}.a1b2c3d4")
    assert train_run(ask, quiet()).was_finished
    assert run.report.exists()
    assert not list(run.path.rglob(".*"))


def test_other_settings_in_an_existing_run_are_refused_and_listed(tmp_path: Path) -> None:
    train_run(request(tmp_path), quiet())
    with pytest.raises(UsageError) as caught:
        train_run(request(tmp_path, learning_rate=0.5, n_layers=1), quiet())
    message = str(caught.value)
    assert "learning_rate was 0.001, now 0.5" in message
    assert "n_layers was 2, now 1" in message
    assert "--run" in message
    assert "--extend" in message
    assert "steps" not in message.split("(")[1].split(")")[0]


def test_another_text_in_an_existing_run_is_refused(tmp_path: Path) -> None:
    train_run(request(tmp_path), quiet())
    text_file(tmp_path, seed=1)
    with pytest.raises(UsageError, match="fingerprint was"):
        train_run(request(tmp_path), quiet())


def test_a_run_can_be_lengthened(tmp_path: Path) -> None:
    train_run(request(tmp_path), quiet())
    longer = train_run(request(tmp_path, extend=30), quiet())
    assert longer.progress.step == 30
    assert longer.progress.finished
    assert RunFolder(longer.folder.path).read().as_table()["train"]["steps"] == 30
    steps = [r["step"] for r in lines(longer) if "train_loss" in r]
    assert steps == list(range(1, 31))
    with pytest.raises(UsageError, match="already trains to step 30"):
        train_run(request(tmp_path, extend=10), quiet())


def test_a_second_trainer_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    ask = request(tmp_path)
    with run_lock(tmp_path / "runs" / ask.name() / "lock"):
        code = "import sys; from groundup.base.lock import is_locked; from pathlib import Path;"
        code += "sys.exit(not is_locked(Path(sys.argv[1])))"
        lock = str(tmp_path / "runs" / ask.name() / "lock")
        assert subprocess.run([sys.executable, "-c", code, lock], check=False).returncode == 0
        with pytest.raises(RunError, match="is training here"):
            train_run(ask, quiet())


@pytest.mark.parametrize("name", ["model.safetensors", "trainer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_checkpoint_is_passed_over_and_named(
    tmp_path: Path, name: str, damage: str
) -> None:
    whole = train_run(request(folder(tmp_path, "a")), quiet())
    base = folder(tmp_path, "b")
    stopped = train_run(request(base), StopAt(13))
    newest = list_checkpoints(stopped.folder.checkpoints)[-1].path / name
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "remove":
        newest.unlink()
    else:
        newest.write_bytes(data if damage == "flip" else data[: len(data) // 2])

    class Hears(ConsoleScreen):
        heard = ""

        def notice(self, text: str) -> None:
            self.heard += text

    screen = Hears(Console(quiet=True))
    resumed = train_run(request(base), screen)
    assert name in screen.heard
    assert_same_bits(whole, resumed)
    assert lines(whole) == lines(resumed)


def test_the_best_checkpoint_is_kept_and_loaded(tmp_path: Path) -> None:
    outcome = train_run(request(tmp_path, learning_rate=0.3, eval_every=2, keep=1), quiet())
    validated = {
        r["step"]: r["val_loss"] for r in lines(outcome) if "val_loss" in r and "event" not in r
    }
    saved = {s: loss for s, loss in validated.items() if s}
    best = min(saved, key=lambda s: (saved[s], -s))
    assert load(outcome.folder.path).step == best
    assert load(outcome.folder.path, "latest").step == 24
    kept = {c.step for c in list_checkpoints(outcome.folder.checkpoints)}
    assert kept == {best, 24}
    assert load(outcome.folder.path, "24").step == 24
    with pytest.raises(UsageError, match="no checkpoint of step 23"):
        load(outcome.folder.path, "23")


def test_a_gradient_that_is_no_number_stops_before_it_harms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = train_run(request(tmp_path), StopAt(8))
    before = weights(stopped)

    def poisoned(self: nn.Module, **arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
        total = torch.stack([p.sum() for p in self.parameters()]).sum()
        return total * torch.nan, torch.tensor(1)

    monkeypatch.setattr("groundup.optim.step.TrainStep.forward", poisoned)
    with pytest.raises(RunError, match="step 9: the loss is not finite"):
        train_run(request(tmp_path), quiet())
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(stopped).items())


def test_a_time_budget_becomes_steps_and_goes_on_when_resumed(tmp_path: Path) -> None:
    ask = request(tmp_path, minutes=0.1)
    stopped = train_run(ask, StopAt(25))
    before = RunFolder(stopped.folder.path).read()
    assert before.plan
    assert before.plan.decisions
    assert before.train
    assert [decision["step"] for decision in before.plan.decisions] == [0, 20]
    assert before.plan.decisions[1]["steps"] == before.train["steps"] > 25
    screen = ConsoleScreen(Console(file=io.StringIO(), record=True))
    resumed = train_run(ask, screen)
    after = RunFolder(stopped.folder.path).read()
    assert after.plan
    assert after.plan.decisions
    assert after.train
    assert after.plan.decisions[:2] == before.plan.decisions
    assert resumed.progress.step == after.train["steps"]
    assert resumed.progress.wall_seconds < 0.1 * 60 * 1.05
    said = screen.console.export_text()
    assert "goes on as decided up to step 25; from there on" in " ".join(said.split())


@pytest.mark.parametrize("wrong", [{"step": 5}, {"steps": 0}, {"place": "x"}, {"more": 1}])
def test_damaged_decisions_are_refused_by_name(tmp_path: Path, wrong: dict[str, Any]) -> None:
    ask = request(tmp_path, minutes=0.1)
    run = RunFolder(train_run(ask, StopAt(25)).folder.path)
    tables = run.read().as_table()
    tables["plan"]["decisions"][0] |= wrong
    tables["plan"]["decisions"][1] |= {"step": 5} if "step" in wrong else {}
    run.write(Manifest.of(tables))
    with pytest.raises(RunError, match=r"run\.toml: expected the decisions of a run, but"):
        train_run(ask, quiet())


def test_weights_that_do_not_fit_are_listed_together(tmp_path: Path) -> None:
    outcome = train_run(request(tmp_path, preset="gpt2-pico"), quiet())
    run = RunFolder(outcome.folder.path)
    tables = run.read().as_table()
    tables["model"]["n_layers"] = 3
    tables["model"]["context_length"] = 8
    run.write(Manifest.of(tables))
    with pytest.raises(RunError) as caught:
        load(run.path)
    assert "missing blocks.2.attn.key.weight" in str(caught.value)
    assert "position_embedding.weight is (16, 16), expected (8, 16)" in str(caught.value)


def test_a_full_disk_is_one_line_and_the_run_goes_on_later(tmp_path: Path) -> None:
    whole = train_run(request(folder(tmp_path, "a")), quiet())
    base = folder(tmp_path, "b")
    train_run(request(base), StopAt(8))
    ask = request(base)
    code = f"""
import resource, sys
from tests.train.test_run import request, quiet
from pathlib import Path
from groundup.base.errors import GroundupError
from groundup.train import train_run
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ask = request(Path({str(base)!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))
try:
    train_run(ask, quiet())
except GroundupError as error:
    assert "\\n" not in str(error)
    print(error)
    sys.exit(7)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
    assert "free" in done.stdout
    resumed = train_run(ask, quiet())
    assert_same_bits(whole, resumed)
    assert not list(resumed.folder.checkpoints.glob(".*"))


def test_every_state_is_plain_json(tmp_path: Path) -> None:
    outcome = train_run(request(tmp_path), quiet())
    for checkpoint in list_checkpoints(outcome.folder.checkpoints):
        state = json.loads((checkpoint.path / "state.json").read_text())
        assert set(state) == {SIZES, *(field.name for field in dataclasses.fields(Progress))}


def test_a_folder_that_is_no_run_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match="not a run folder"):
        load(tmp_path)


def test_a_run_of_an_older_version_goes_on(tmp_path: Path) -> None:
    """Its run.toml lacks the settings that came later; they count as not set."""
    ask = request(tmp_path)
    train_run(ask, StopAt(7))
    folder = RunFolder(tmp_path / "runs" / ask.name())
    tables = folder.read().as_table()
    for table in (tables["train"], tables["request"]["train"]):
        for key in ("allocator", "loss_chunk", "checkpoint_activations"):
            del table[key]
    folder.write(Manifest.of(tables))
    assert train_run(ask, quiet()).progress.finished


def test_every_automatic_choice_is_written_down_and_taken_again(tmp_path: Path) -> None:
    ask = request(tmp_path, threads=0)
    stopped = train_run(ask, StopAt(7))
    before = stopped.folder.read().as_table()
    assert set(before["choices"]) == {*AUTOMATIC, "reasons"}
    assert "auto" not in before["train"].values()
    assert set(before["choices"]["reasons"]) == set(AUTOMATIC)
    train_run(ask, quiet())
    after = stopped.folder.read().as_table()
    assert after["choices"] == before["choices"]
    assert after["train"] == before["train"]


@pytest.mark.parametrize(("batch_size", "expected"), [(4, 2048), (1024, 8847), (2048, 16384)])
def test_validations_take_a_small_share_of_a_run(
    tmp_path: Path, batch_size: int, expected: int
) -> None:
    """3% of 24 steps in 24 / 6 validations, of which a token costs a third of one learnt from."""
    changes = {"eval_tokens": None, "batch_size": batch_size, "sample_tokens": 0}
    done = train_run(request(folder(tmp_path, "a"), **changes), quiet())
    assert done.folder.read().as_table()["train"]["eval_tokens"] == expected
