"""What else may happen to a run: another place, another version, no room, no memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from groundup.base.errors import GroundupError, RunError, UsageError
from groundup.config import GPTConfig, TrainConfig
from groundup.plan import make_plan
from groundup.runs import RunFolder
from groundup.runs.background import Background
from groundup.runs.checkpoint import list_checkpoints, newest_intact, save_checkpoint
from groundup.train import ConsoleScreen, train_run
from groundup.train.progress import Progress
from groundup.train.resume import tell_inexact
from groundup.train.shortage import OutOfMemory, advice, is_shortage
from tests.processes.starting import ROOT
from tests.train.test_run import StopAt, assert_same_bits, folder, lines, quiet, request


class Hears(ConsoleScreen):
    def __init__(self) -> None:
        super().__init__(Console(quiet=True))
        self.heard = ""

    def notice(self, text: str) -> None:
        self.heard += text


def test_a_run_goes_on_at_another_place(tmp_path: Path) -> None:
    whole = train_run(request(folder(tmp_path, "a")), quiet())
    base = folder(tmp_path, "b")
    train_run(request(base), StopAt(13))
    shutil.move(base, tmp_path / "moved")
    resumed = train_run(request(tmp_path / "moved"), quiet())
    assert_same_bits(whole, resumed)
    assert lines(whole) == lines(resumed)


def test_a_run_goes_on_where_onednn_would_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its products may not be changed by a setting, so that a refusal would be for good."""
    asked = request(tmp_path, products="onednn", precision="fp32")
    for module in ("device.products", "train.choices", "train.driver"):
        monkeypatch.setattr(f"groundup.{module}.onednn_is_exact", lambda: True)
    train_run(asked, StopAt(13))
    for module in ("device.products", "train.choices", "train.driver"):
        monkeypatch.setattr(f"groundup.{module}.onednn_is_exact", lambda: False)
    screen = Hears()
    assert train_run(asked, screen).progress.finished
    assert "products: oneDNN rounds factors to bf16 on this CPU; goes on with default" in (
        screen.heard
    )


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    outcome = train_run(request(tmp_path), StopAt(13))
    run = outcome.folder
    text = run.manifest.read_text()
    run.manifest.write_text(text.replace("format = 1", "format = 99", 1))
    with pytest.raises(RunError, match="format 99, this groundup reads format 1"):
        train_run(request(tmp_path), quiet())
    run.manifest.write_text(text)
    assert train_run(request(tmp_path), quiet()).progress.finished


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[train]", "[train]\nno_such_setting = 1"),
        ("[request.train]", "[request.training]"),
        ("[request.train]", "[request.model.train]"),
        ("batch_size = 4", 'batch_size = "many"'),
        ("steps = 24", "steps = -1"),
        ("steps = 24", "steps = 1e400"),
        ('device = "cpu"', "device = 7"),
    ],
)
def test_damaged_settings_are_named(tmp_path: Path, old: str, new: str) -> None:
    run = train_run(request(tmp_path), StopAt(7)).folder
    text = run.manifest.read_text()
    assert old in text
    run.manifest.write_text(text.replace(old, new))
    with pytest.raises(GroundupError, match=r"run\.toml"):
        train_run(request(tmp_path, extend=30), quiet())


def test_a_checkpoint_of_a_newer_format_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_run(request(tmp_path), StopAt(8))
    monkeypatch.setattr("groundup.runs.checkpoint.FORMAT", 2)
    train_run(request(tmp_path), StopAt(13))
    monkeypatch.undo()
    screen = Hears()
    resumed = train_run(request(tmp_path), screen)
    assert "has format 2, this groundup reads format 1" in screen.heard
    assert resumed.progress.finished


def test_a_state_without_what_came_later_goes_on(tmp_path: Path) -> None:
    state = {"step": 7, "tokens": 448, "seconds": 0.5, "val_loss": None, "finished": False}
    progress = Progress.from_state(state, "state.json")
    assert (progress.step, progress.due, progress.rate_scale) == (7, [], 1.0)
    for wrong in ({"step": "7"}, {"due": [3]}, {"recent": ["x"]}, {"another": 1}, {"step": True}):
        with pytest.raises(RunError, match=r"state\.json"):
            Progress.from_state(state | wrong, "state.json")
    with pytest.raises(RunError):
        Progress.from_state([], "state.json")


def test_every_nth_the_best_and_the_latest_are_kept(tmp_path: Path) -> None:
    outcome = train_run(request(tmp_path, save_every=2, keep=1, keep_every=8), quiet())
    steps = {checkpoint.step for checkpoint in list_checkpoints(outcome.folder.checkpoints)}
    assert {8, 16, 24} <= steps
    assert len(steps) <= 4


@pytest.mark.parametrize("save", ["background", "foreground"])
def test_a_save_that_fails_ends_the_run_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: str
) -> None:
    whole = train_run(request(folder(tmp_path, "a")), quiet())
    parts = folder(tmp_path, "b")
    import groundup.train.recorder as recorder

    genuine = save_checkpoint

    def fails(folder: Path, step: int, *given: Any) -> Any:
        if step == 12:
            raise RunError("no room")
        return genuine(folder, step, *given)

    monkeypatch.setattr(recorder, "save_checkpoint", fails)
    with pytest.raises(RunError, match="no room"):
        train_run(request(parts, save=save), quiet())
    found, damaged = newest_intact(parts / "runs/story-pico/checkpoints")
    assert found is not None
    assert found.step == 6
    assert not damaged
    monkeypatch.undo()
    resumed = train_run(request(parts, save=save), quiet())
    assert_same_bits(whole, resumed)
    assert lines(whole) == lines(resumed)


def test_a_failed_job_is_told_when_asked_and_once() -> None:
    background = Background()
    background.confirm(wait=True)

    def fail() -> None:
        raise RunError("lost")

    background.submit(fail)
    with pytest.raises(RunError, match="lost"):
        background.confirm(wait=True)
    background.confirm(wait=True)
    background.submit(fail)
    with pytest.raises(RunError, match="lost"):
        background.submit(fail)


def test_other_passes_through_the_same_sequences_go_on(tmp_path: Path) -> None:
    whole = train_run(request(folder(tmp_path, "a"), batch_size=8), quiet())
    parts = folder(tmp_path, "b")
    train_run(request(parts, batch_size=8), StopAt(13))
    screen = Hears()
    resumed = train_run(request(parts, batch_size=2, accumulation=4), screen)
    assert "continues, not bit-identical: batch_size times accumulation was 8 x 1" in screen.heard
    losses = [[r["train_loss"] for r in lines(o) if "train_loss" in r] for o in (whole, resumed)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    with pytest.raises(UsageError, match="batch_size was 2, now 4"):
        train_run(request(parts, batch_size=4, accumulation=4), quiet())


def test_activations_may_be_computed_again_from_now_on(tmp_path: Path) -> None:
    whole = train_run(request(folder(tmp_path, "a"), drop_rate=0.1), quiet())
    parts = folder(tmp_path, "b")
    train_run(request(parts, drop_rate=0.1), StopAt(13))
    changed = request(parts, drop_rate=0.1, checkpoint_activations="on")
    train_run(changed, StopAt(16))
    resumed = train_run(request(parts, drop_rate=0.1), quiet())
    assert resumed.folder.read().as_table()["train"]["checkpoint_activations"] == "on"
    assert_same_bits(whole, resumed)


def test_what_rounds_otherwise_is_said() -> None:
    before = {
        "versions": {"torch": "2.12.0", "numpy": "1"},
        "machine": {"cpu": "A", "instructions": "AVX2"},
        "train": {"device": "cpu"},
    }
    heard: list[str] = []
    tell_inexact(before, before, heard.append)
    assert heard == []
    after = {"versions": {"torch": "2.13.0", "numpy": "2"}, "machine": {"cpu": "A"}}
    tell_inexact(before, after, heard.append)
    assert heard == [
        "continues, not bit-identical: versions.torch was 2.12.0, now 2.13.0; "
        "machine.instructions was AVX2, now none"
    ]
    tell_inexact(before | {"train": {"device": "cuda"}}, before, heard.append)
    assert "deterministic=on" in heard[1]
    on = {"train": {"device": "cuda", "deterministic": "on"}}
    tell_inexact(before | on, before, heard.append)
    assert len(heard) == 2


def test_memory_that_runs_out_names_three_ways_out() -> None:
    plan = make_plan(GPTConfig(), TrainConfig())
    text = advice(plan, 1234.5)
    assert f"planned {plan.memory['total'] / 2**20:,.0f} MiB, 1,234 MiB were taken" in text
    assert text.count("--set") == 4, "a smaller batch takes two"
    assert text.index("checkpoint_activations=on") < text.index("batch_size=4 --set accumulation=2")
    assert text.index("batch_size=4") < text.index("context_length=")
    assert is_shortage(MemoryError())
    assert is_shortage(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not is_shortage(RuntimeError("shapes"))


def test_memory_that_really_runs_out(tmp_path: Path) -> None:
    request(tmp_path)  # which writes the text
    code = f"""
import resource, sys
from pathlib import Path
from groundup.train import train_run
from groundup.train.shortage import OutOfMemory
from tests.train.test_run import request, quiet
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (400 << 20),) * 2)
try:
    train_run(request(Path({str(tmp_path)!r}), batch_size=2048, emb_dim=256, n_heads=4), quiet())
except OutOfMemory as error:
    print(error)
    sys.exit(error.exit_status)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 3, done.stderr
    assert "out of memory: planned" in done.stdout
    assert done.stdout.count("\n") == 1


def test_a_folder_that_vanishes_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    class Removes(StopAt):
        def metrics(self, record: dict[str, Any]) -> None:
            if record["step"] == self.step:
                shutil.rmtree(tmp_path / "runs/story-pico", ignore_errors=True)

    with pytest.raises(GroundupError) as caught:
        train_run(request(tmp_path), Removes(8))
    assert "story-pico" in str(caught.value)
    assert not isinstance(caught.value, OutOfMemory)
    run = RunFolder(tmp_path / "runs/story-pico")
    assert not run.exists(), "what is left makes no half a run"
    assert json.dumps(sorted(p.name for p in run.path.glob("*"))) in ("[]", '["lock"]')


def test_a_folder_that_cannot_be_written_is_an_error_of_one_line(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the privilege to mount")
    try:
        train_run(request(place), StopAt(8))
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        with pytest.raises(GroundupError, match="Read-only file system; nothing can be written"):
            train_run(request(place), quiet())
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)  # shards stay mapped
