"""Trainings killed at random moments, again and again: the end is bit for bit the same."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from groundup.runs import RunFolder
from groundup.runs.checkpoint import list_checkpoints
from tests.faults.campaign import Campaign
from tests.faults.test_launchers import workers
from tests.processes.starting import TORCHRUN, Training, command, environment, fingerprint, lines

CHAIN = 10
"""Kills of one run, one after the other."""
LAUNCHER = "launcher"
LAYOUTS: dict[str, tuple[int, dict[str, Any]]] = {
    "kills: one process": (1, {}),
    "kills: two processes, DDP": (2, {}),
    "kills: two processes, FSDP2": (2, {"shard": "on"}),
    "kills: torchrun, FSDP2": (2, {"shard": "on"}),
    "kills: with --minutes": (1, {"minutes": 0.2, "steps": None}),
}
SETTINGS: dict[str, Any] = {
    "emb_dim": 96,
    "context_length": 64,
    "steps": 60,
    "eval_every": 5,
    "eval_tokens": 2048,
    "sample_every": 10,
    "sample_tokens": 20,
    "drop_rate": 0.1,
}
"""Long enough that half of all moments are after the start-up."""
LONGEST = {1: 7.0, 2: 12.0}
"""Seconds after a start within which it is killed."""


@cache
def reference(name: str, decisions: str) -> tuple[str, list[dict[str, Any]]]:
    """Return how a run of a layout ends that nothing happens to.

    With a time to fill, it decides what another has, as JSON.
    """
    ranks, settings = LAYOUTS[name]
    told = {"kind": "decisions", "decisions": json.loads(decisions)}
    sabotage = told if "minutes" in settings else None
    with TemporaryDirectory() as folder:
        words = command(Path(folder), **(SETTINGS | settings))
        Training(Path(folder), words, ranks, sabotage).finish()
        run = RunFolder(Path(folder) / "runs/run")
        return fingerprint(run), lines(run)


def chain(folder: Path, name: str, seed: int, kills: int) -> None:
    """Kill a run `kills` times, let it come to its end, and compare that."""
    choose = random.Random(f"{name} {seed}")
    ranks, settings = LAYOUTS[name]
    words = command(folder, **(SETTINGS | settings))
    run = RunFolder(folder / "runs/run")
    kill = kill_launched if "torchrun" in name else kill_processes
    for _ in range(kills):
        codes = kill(folder, words, ranks, choose)
        if set(codes) == {0}:  # it had come to its end before: the next one is another
            check(run, name)
            shutil.rmtree(run.path)
    Training(folder, words, ranks).finish()
    check(run, name)


def kill_processes(folder: Path, words: list[str], ranks: int, choose: random.Random) -> list[int]:
    """Start a training, kill one or all of its processes; return how they ended."""
    training = Training(folder, words, ranks)
    time.sleep(choose.uniform(0, LONGEST[ranks]))
    doomed = choose.choice([*range(ranks), None])
    for rank in range(ranks) if doomed is None else [doomed]:
        training.ranks[rank].kill()
    codes = training.end(within=10)  # a process that nobody knew yet is missed by its launcher
    assert set(codes) <= {0, 5, -signal.SIGKILL, 143, -signal.SIGTERM}, training.err
    return codes


def kill_launched(folder: Path, words: list[str], ranks: int, choose: random.Random) -> list[int]:
    """Do the same under torchrun, which may be killed, too; all have ended within 10 s."""
    program = [*TORCHRUN, f"--nproc-per-node={ranks}", "-m", "--", "groundup", *words]
    said = folder / "said"
    with said.open("w") as out:
        launcher = subprocess.Popen(program, cwd=folder, env=environment(), stdout=out, stderr=out)
    while len(found := workers(launcher.pid)) < ranks:
        assert launcher.poll() is None, said.read_text()
        time.sleep(0.02)
    time.sleep(choose.uniform(0, LONGEST[ranks]))
    doomed = choose.choice([*range(ranks), None, LAUNCHER])
    pids = [found[doomed]] if doomed in found else [*found.values()]
    for pid in [launcher.pid, *pids] if doomed == LAUNCHER else pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    code = launcher.wait(timeout=30)
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in found.values()):
        assert time.monotonic() < deadline, said.read_text()
        time.sleep(0.05)
    assert code in {0, 1, -signal.SIGKILL}, said.read_text()
    return [code]


def check(run: RunFolder, name: str) -> None:
    """Compare a finished run with one that nothing happened to."""
    steps = list_checkpoints(run.checkpoints)[-1].step
    assert steps == (run.read().train or {})["steps"]
    plan = run.read().plan
    decisions = json.dumps((plan and plan.decisions) or [])
    assert (fingerprint(run), lines(run)) == reference(name, decisions)
    assert not list(run.checkpoints.glob(".*"))


def test_a_chain_of_kills(tmp_path: Path) -> None:
    chain(tmp_path, "kills: one process", seed=0, kills=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_kills_at_random_moments(tmp_path: Path, name: str) -> None:
    campaign = Campaign(name)
    for seed in campaign.seeds(at_once=CHAIN):
        folder = tmp_path / str(seed)
        folder.mkdir()
        outcome = "not the same end"
        try:
            chain(folder, name, seed, CHAIN)
            outcome = "ok"
        finally:
            campaign.record(seed, CHAIN, outcome)
        shutil.rmtree(folder)
