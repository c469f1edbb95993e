"""Every signal in every phase, to any process: nothing is lost, and the same command goes on."""

from __future__ import annotations

import random
import signal
import time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from groundup.runs import RunFolder
from groundup.runs.checkpoint import list_checkpoints
from tests.faults.campaign import Campaign
from tests.processes.starting import Training, command, fingerprint, lines, train

BEFORE = ["start-up", "data preparation", "planning"]
"""Phases in which there is nothing to save yet."""
DURING = {"evaluation": 0, "sampling": 0, "warm-up": 1, "mid-accumulation": 4, "saving": 6}
"""Phases, and the step of the checkpoint that a signal in them leads to."""
SETTINGS: dict[str, Any] = {"steps": 12, "batch_size": 4, "keep": 99}
SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1]
SOON = 10.0


def settings(ranks: int, **more: Any) -> dict[str, Any]:
    """Return settings by which every process makes two passes a step."""
    return SETTINGS | {"accumulation": 2 * ranks} | more


@cache
def reference(ranks: int, shard: str) -> tuple[str, list[dict[str, Any]]]:
    """Return how a run ends that no signal meets."""
    with TemporaryDirectory() as folder:
        run = train(Path(folder), ranks, **settings(ranks, shard=shard))
        return fingerprint(run), lines(run)


def meet(folder: Path, phase: str, number: int, ranks: int, to: int, **more: Any) -> Training:
    """Send a signal to a process in a phase."""
    sabotage = {"kind": "phase", "phase": phase, "rank": to}
    training = Training(folder, command(folder, **settings(ranks, **more)), ranks, sabotage)
    training.wait_for((folder / f"phase-{to}").exists)
    training.signal(number, rank=to)
    return training


def check(folder: Path, phase: str, number: int, ranks: int = 1, to: int = 0, **more: Any) -> None:
    """Meet a phase with a signal; check what is there then, and that the run ends as it should."""
    run = RunFolder(folder / "runs/run")
    training = meet(folder, phase, number, ranks, to, **more)
    begun = time.monotonic()
    # One that has not yet met the other is missed by its launcher alone.
    alone = ranks > 1 and phase in BEFORE and number != signal.SIGUSR1
    codes = training.end(within=SOON) if alone else training.wait()
    took = time.monotonic() - begun
    steps = [checkpoint.step for checkpoint in list_checkpoints(run.checkpoints)]
    if number == signal.SIGUSR1:
        assert codes == [0] * ranks, training.err
        assert steps[0] == DURING.get(phase, 0), "saved as soon as there was something to save"
        assert steps[-1] == 12
    else:
        assert took < SOON + (10 if alone else 3)
        stopped = {128 + number} if phase in DURING or ranks == 1 else {128 + number, 1, 5, 143}
        assert set(codes) <= stopped, (codes, training.err)
        if phase in DURING:  # beside a save in the background, some steps are taken
            assert steps[0] == DURING[phase]
            assert len(steps) == 1 or phase == "saving"
        else:
            assert not steps
        Training(folder, command(folder, **settings(ranks, **more)), ranks).finish()
    assert (fingerprint(run), lines(run)) == reference(ranks, more.get("shard", "off"))


@pytest.mark.parametrize(
    ("phase", "number"),
    [
        ("start-up", signal.SIGUSR1),
        ("evaluation", signal.SIGTERM),
        ("saving", signal.SIGINT),
    ],
)
def test_a_signal_in_a_phase(tmp_path: Path, phase: str, number: int) -> None:
    check(tmp_path, phase, number)


def moments() -> list[tuple[str, int, int, int, str]]:
    """Return every phase, signal, number of processes, the one that is told, and way to share."""
    found: list[tuple[str, int, int, int, str]] = []
    for ranks, to, shard in ((1, 0, "off"), (2, 0, "off"), (2, 1, "on")):
        phases = [*BEFORE, *DURING] if to == 0 else ["evaluation", "warm-up", "mid-accumulation"]
        found += [(phase, number, ranks, to, shard) for phase in phases for number in SIGNALS]
    random.Random(0).shuffle(found)
    return found


@pytest.mark.slow
def test_any_signal_in_any_phase_to_any_process(tmp_path: Path) -> None:
    campaign, known = Campaign("signals"), moments()
    assert campaign.goal == len(known)
    for seed in campaign.seeds():
        phase, number, ranks, to, shard = known[seed % len(known)]
        folder, outcome = tmp_path / str(seed), "not as it should be"
        folder.mkdir()
        try:
            check(folder, phase, number, ranks, to, shard=shard)
            outcome = "ok"
        finally:
            campaign.record(seed, 1, outcome)


def test_the_second_ctrl_c_quits_at_once(tmp_path: Path) -> None:
    training = meet(tmp_path, "mid-accumulation", signal.SIGINT, 1, 0)
    time.sleep(0.1)
    training.signal(signal.SIGINT)
    assert training.wait(timeout=5) == [130]
    assert not list_checkpoints(tmp_path / "runs/run/checkpoints")
