"""Several real processes that train one model: the same curve, the same samples, the same end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from groundup import TrainConfig, UsageError
from groundup.processes.alone import equal_passes
from groundup.processes.deadline import GRACE
from groundup.processes.exact import Exact
from groundup.runs import RunFolder, read_lines
from groundup.runs.checkpoint import list_checkpoints
from tests.processes.starting import (
    ROOT,
    TORCHRUN,
    Training,
    command,
    fingerprint,
    lines,
    losses,
    steps_logged,
    train,
)


@pytest.mark.parametrize("optimizer", [pytest.param("adamw", marks=pytest.mark.slow), "muon"])
def test_two_processes_learn_what_one_learns(tmp_path: Path, optimizer: str) -> None:
    settings: dict[str, Any] = {"optimizer": optimizer, "steps": 50, "sample_every": 10}
    alone = train(tmp_path, 1, "one", **settings)
    one, written = losses(alone), list(read_lines(alone.samples))
    for name, more in (("replicated", {}), ("sharded", {"shard": "on"})):
        run = train(tmp_path, 2, name, **settings, **more)
        assert len(losses(run)) == 50
        assert losses(run) == pytest.approx(one, rel=1e-5)
        assert [sample["step"] for sample in read_lines(run.samples)] == [0, 10, 20, 30, 40, 50]
        assert next(iter(read_lines(run.samples))) == written[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "most"),
    [
        ({"checkpoint_activations": "on"}, 1e-5),
        ({"accumulation": 4, "batch_size": 2, "grad_clip": 0.1}, 1e-5),
        ({"precision": "bf16", "checkpoint_activations": "on", "accumulation": 2}, 1e-3),
    ],
)
def test_they_share_whatever_a_step_is_made_of(
    tmp_path: Path, settings: dict[str, Any], most: float
) -> None:
    one = losses(train(tmp_path, 1, "one", **settings))
    for name, more in (("replicated", {}), ("sharded", {"shard": "on"})):
        assert losses(train(tmp_path, 2, name, **settings, **more)) == pytest.approx(one, rel=most)


def test_exact_sums_end_in_the_same_bits(tmp_path: Path) -> None:
    common = {"exact": "on", "drop_rate": 0.1, "steps": 12}
    one = train(tmp_path, 1, "one", batch_size=2, accumulation=4, **common)
    assert fingerprint(one) == fingerprint(train(tmp_path, 2, "two", **common))


@pytest.mark.slow
def test_exact_sums_end_in_the_same_bits_in_any_layout(tmp_path: Path) -> None:
    layouts: dict[str, tuple[int, dict[str, Any]]] = {
        "one": (1, {}),
        "one-accumulated": (1, {"batch_size": 2, "accumulation": 4}),
        "two": (2, {}),
        "four": (4, {"batch_size": 4, "accumulation": 2}),
    }
    common: dict[str, Any] = {"exact": "on", "drop_rate": 0.1, "steps": 12}
    prints = {
        name: fingerprint(train(tmp_path, ranks, name, **common, **more))
        for name, (ranks, more) in layouts.items()
    }
    prints["changing"] = fingerprint(train_with(tmp_path, [1, 4, 2], **common))
    assert len(set(prints.values())) == 1, prints


@pytest.mark.slow
@pytest.mark.parametrize("shard", ["off", "on"])
def test_a_run_goes_on_with_another_number_of_processes(tmp_path: Path, shard: str) -> None:
    whole = train(tmp_path, 1, "whole")
    parts = train_with(tmp_path, [2, 1, 2], steps=24, shard=shard)
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-5)
    assert [r["step"] for r in lines(parts) if "train_loss" in r] == list(range(1, 25))


@pytest.mark.slow
@pytest.mark.parametrize("shard", ["off", "on"])
def test_three_processes_go_on_bit_for_bit(tmp_path: Path, shard: str) -> None:
    settings: dict[str, Any] = {"batch_size": 12, "drop_rate": 0.1, "steps": 24, "shard": shard}
    whole = train(tmp_path, 3, "whole", **settings)
    parts = train_with(tmp_path, [3, 3], **settings)
    assert fingerprint(parts) == fingerprint(whole)
    assert lines(parts) == lines(whole)


def train_with(folder: Path, numbers: list[int], steps: int, **settings: Any) -> RunFolder:
    """Train with changing numbers of processes; a signal to the last one ends each part."""
    run = RunFolder(folder / "runs/parts")
    words = command(folder, "parts", steps=steps, **settings)
    for i, ranks in enumerate(numbers, start=1):
        training = Training(folder, words, ranks)
        if i == len(numbers):
            training.finish()
            continue
        least = steps * i // len(numbers)
        training.wait_for(lambda least=least: steps_logged(run) >= least)  # type: ignore[misc]
        training.signal(signal.SIGTERM, rank=ranks - 1)
        assert set(training.wait()) == {143}, training.err
    return run


@pytest.mark.slow
def test_a_launcher_starts_it_again_after_a_kill(tmp_path: Path) -> None:
    whole = train(tmp_path, 2, "whole", steps=40)
    words = command(tmp_path, "parts", steps=40)
    launch = [*TORCHRUN, "--nproc-per-node=2", "--max-restarts=2", "-m", "--", "groundup", *words]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}", "OMP_NUM_THREADS": "1"}
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    launcher = subprocess.Popen(launch, cwd=tmp_path, env=environment, **options)
    run = RunFolder(tmp_path / "runs/parts")
    deadline = time.monotonic() + 120
    while steps_logged(run) < 12:
        assert launcher.poll() is None, launcher.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(worker(launcher.pid, rank=1), signal.SIGKILL)
    _, err = launcher.communicate(timeout=180)
    assert launcher.returncode == 0, err
    assert fingerprint(run) == fingerprint(whole)
    assert lines(run) == lines(whole)


def worker(launcher: int, rank: int) -> int:
    """Return the process of a rank that a launcher has started."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == launcher and b"RANK=%d" % rank in variables:
            return int(entry.name)
    raise AssertionError("no such process")


@pytest.mark.parametrize("lost", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_killed_process_is_named_and_ends_all(tmp_path: Path, lost: int) -> None:
    sabotage = {"kind": "SIGKILL", "rank": lost, "step": 9}
    begun = time.monotonic()
    training = Training(tmp_path, command(tmp_path), 2, sabotage)
    training.ranks[lost].wait()
    died = time.monotonic()
    codes = training.wait()
    assert time.monotonic() - died < 10, time.monotonic() - begun
    assert codes[lost] == -signal.SIGKILL
    assert codes[1 - lost] == 5
    said = training.err[1 - lost]
    assert f"rank {lost} " in said
    assert "after step 8" in said


@pytest.mark.parametrize("lost", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_process_killed_before_the_training_ends_all(tmp_path: Path, lost: int) -> None:
    sabotage = {"kind": "phase", "phase": "data preparation", "rank": 0}
    training = Training(tmp_path, command(tmp_path), 2, sabotage)
    training.wait_for((tmp_path / "phase-0").exists)
    training.signal(signal.SIGKILL, rank=lost)
    died = time.monotonic()
    codes = training.wait()
    assert time.monotonic() - died < 10
    assert codes[1 - lost] == 5
    assert f"rank {lost} was killed " in training.err[1 - lost]
    assert " after step 0;" in training.err[1 - lost]


def test_a_process_that_waits_for_others_can_be_ended(tmp_path: Path) -> None:
    training = Training(tmp_path, command(tmp_path), 2)
    training.signal(signal.SIGKILL, rank=1)
    with pytest.raises(subprocess.TimeoutExpired):
        training.ranks[0].wait(timeout=6)
    training.signal(signal.SIGTERM, rank=0)
    ended = time.monotonic()
    assert training.wait() == [143, -signal.SIGKILL]
    assert time.monotonic() - ended < 10
    assert training.err[0].startswith("groundup: interrupted")


@pytest.mark.slow
def test_a_slow_save_is_waited_for_once_all_have_agreed(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"steps": 100_000, "eval_every": 50_000, "save_every": 50_000}
    sabotage = {"kind": "phase", "phase": "saving", "rank": 0, "seconds": GRACE + 3}
    training = Training(tmp_path, command(tmp_path, **settings), 2, sabotage)
    run = RunFolder(tmp_path / "runs/run")
    training.wait_for(lambda: steps_logged(run) >= 50)
    training.signal(signal.SIGTERM, rank=0)
    assert training.wait() == [143, 143], training.err
    assert len(list_checkpoints(run.checkpoints)) == 1


@pytest.mark.slow
def test_a_stopped_process_is_named_with_stacks(tmp_path: Path) -> None:
    sabotage = {"kind": "SIGSTOP", "rank": 1, "step": 9}
    training = Training(tmp_path, command(tmp_path, timeout=5), 2, sabotage)
    run = RunFolder(tmp_path / "runs/run")
    training.wait_for(lambda: steps_logged(run) >= 8)
    stopped = time.monotonic()
    codes = training.wait()
    assert time.monotonic() - stopped < 5 + 5 + 2
    assert codes == [5, -signal.SIGKILL], "the other one ends it, lest a launcher waits for it"
    assert "rank 1 was killed or stopped after step 8" in training.err[0]
    assert "most recent call first" in training.err[0]


def test_an_error_in_one_process_never_leaves_the_others_waiting(tmp_path: Path) -> None:
    training = Training(tmp_path, command(tmp_path), 2, {"kind": "raise", "rank": 1, "step": 9})
    begun = time.monotonic()
    codes = training.wait()
    assert time.monotonic() - begun < 60
    assert codes == [5, 1]
    assert "rank 1 failed (ValueError: something nobody foresaw) after step 8" in training.err[0]


def test_numbers_that_are_not_finite_stop_all_in_the_same_step(tmp_path: Path) -> None:
    training = Training(tmp_path, command(tmp_path), 2, {"kind": "nonfinite", "rank": 1, "step": 9})
    assert training.wait() == [4, 4]
    assert "step 9: the loss is not finite" in training.err[0]
    assert not training.err[1], "it is said once"
    assert (tmp_path / "runs/run/replay/step-00000009/model.safetensors").is_file()


def test_a_wrong_request_ends_all_with_one_line(tmp_path: Path) -> None:
    training = Training(tmp_path, command(tmp_path, batch_size=3), 2)
    assert training.wait() == [2, 2]
    assert "3 sequences a step, which 2 processes cannot share" in training.err[0]
    assert "".join(training.err).count("groundup: ") == 1


def test_words_that_nobody_can_read_are_told_once(tmp_path: Path) -> None:
    training = Training(tmp_path, ["train", "--nope"], 3)
    assert training.wait() == [2, 2, 2]
    assert "".join(training.err).count("groundup: no flag --nope; ") == 1


def test_a_step_is_shared_in_equal_runs_of_samples() -> None:
    config = TrainConfig(batch_size=6, accumulation=4)
    for size in (1, 2, 3, 4, 6, 8, 12, 24):
        passes = [one for rank in range(size) for one in equal_passes(config, rank, size)]
        indices = [first + i for first, n in passes for i in range(n)]
        assert indices == list(range(24)), size
        assert all(n <= 6 for _, n in passes)
    with pytest.raises(UsageError, match="24 sequences a step, which 5 processes cannot share"):
        equal_passes(config, 0, 5)


def test_exact_passes_do_not_depend_on_who_makes_them() -> None:
    config = TrainConfig(batch_size=4, accumulation=4, exact="on", exact_shards=8)
    expected = Exact().passes(config)
    assert expected == [(2 * i, 2) for i in range(8)]
    for size in (2, 4, 8):
        ranks = [Exact() for _ in range(size)]
        for rank, world in enumerate(ranks):
            world.rank, world.size = rank, size
        assert [one for world in ranks for one in world.passes(config)] == expected
    ranks[0].size = 16
    with pytest.raises(UsageError, match="16 processes cannot share exact_shards = 8"):
        ranks[0].passes(config)
