"""torchrun, of whose workers one is killed: all end, and one line says which, in every phase."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.processes.starting import TORCHRUN, command, environment

AT_ONCE, MET = "import", "rendezvous"
PHASES = (
    AT_ONCE,
    MET,
    "start-up",
    "data preparation",
    "planning",
    "warm-up",
    "evaluation",
    "saving",
)
QUICK = [("data preparation", 1, 3)]
KILLS = [(phase, rank, 2) for phase in PHASES for rank in (0, 1)]
ONLY_FIRST = ("evaluation", "saving")
"""Phases that the first process alone marks in this training."""


def workers(launcher: int) -> dict[int, int]:
    """Return the processes that a launcher has started, by their ranks."""
    found: dict[int, int] = {}
    for thread in Path(f"/proc/{launcher}/task").glob("*/children"):
        for child in thread.read_text().split():
            with suppress(OSError):
                told = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
                found |= {int(one[5:]): int(child) for one in told if one.startswith(b"RANK=")}
    return found


@contextmanager
def launched(folder: Path, n: int, phase: str, rank: int) -> Iterator[subprocess.Popen[str]]:
    """Start a training under torchrun; its process `rank` lingers in `phase`."""
    sabotage = {"kind": "phase", "phase": phase, "rank": rank, "seconds": 60}
    module = "groundup" if phase in (AT_ONCE, MET) else "tests.faults.victim"
    words = command(folder, steps=400, batch_size=n * 2)
    launcher = subprocess.Popen(
        [*TORCHRUN, f"--nproc-per-node={n}", "-m", "--", module, *words],
        cwd=folder,
        env=environment(SABOTAGE=json.dumps(sabotage)),
        stdout=subprocess.DEVNULL,
        stderr=(folder / "err").open("w"),
        text=True,
        start_new_session=True,
    )
    try:
        yield launcher
    finally:
        with suppress(ProcessLookupError):
            os.killpg(launcher.pid, signal.SIGKILL)
        launcher.wait()


def listens(process: int) -> bool:
    """Return whether a process has come so far that it catches SIGTERM."""
    told = Path(f"/proc/{process}/status").read_text().partition("SigCgt:")[2].split()[0]
    return bool(int(told, 16) >> (signal.SIGTERM - 1) & 1)


def wait_for(launcher: subprocess.Popen[str], folder: Path, n: int, phase: str, rank: int) -> int:
    """Return the process that is to be killed, once it is in its phase."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert launcher.poll() is None, (folder / "err").read_text()
        if len(found := workers(launcher.pid)) == n:
            maps = Path(f"/proc/{found[rank]}/maps").read_text()
            heard = all(map(listens, found.values()))  # one that does not ends without a word
            met = (folder / f"phase-{rank}").exists() or (phase == MET and "libtorch_cpu" in maps)
            if phase == AT_ONCE or (heard and met):
                return found[rank]
        time.sleep(0.02)
    raise AssertionError(f"{phase} was not met")


@pytest.mark.parametrize(
    ("phase", "rank", "n"),
    [*QUICK, *(pytest.param(*kill, marks=pytest.mark.slow) for kill in KILLS)],
)
def test_all_end_and_one_line_says_which_was_killed(
    tmp_path: Path, phase: str, rank: int, n: int
) -> None:
    if phase in ONLY_FIRST and rank:
        pytest.skip("the first process alone does that")
    with launched(tmp_path, n, phase, rank) as launcher:
        process = wait_for(launcher, tmp_path, n, phase, rank)
        living = workers(launcher.pid)
        os.kill(process, signal.SIGKILL)
        killed = time.monotonic()
        while living.items() & workers(launcher.pid).items():
            assert time.monotonic() - killed < 10, "the others have not ended"
            time.sleep(0.05)
        launcher.wait(timeout=30)
    said = [line for line in (tmp_path / "err").read_text().splitlines() if "groundup: " in line]
    least = phase != AT_ONCE  # there even Python may not have been ready to say anything
    assert least <= len(said) <= 1, said
    for line in said:
        is_told = "interrupted, as a launcher does to all where one has ended" in line
        assert is_told or f"rank {rank} was killed" in line
        assert "the same command" in line


@pytest.mark.parametrize("phase", [AT_ONCE, pytest.param(MET, marks=pytest.mark.slow)])
def test_all_end_whose_launcher_was_killed(tmp_path: Path, phase: str) -> None:
    """Who have not met yet would wait for its store, ten minutes."""
    with launched(tmp_path, 2, phase, 0) as launcher:
        wait_for(launcher, tmp_path, 2, phase, 1)
        living = [Path(f"/proc/{process}/stat") for process in workers(launcher.pid).values()]
        launcher.kill()
        killed = time.monotonic()
        while any(stat.exists() for stat in living):
            assert time.monotonic() - killed < 60, "the workers have not ended"
            time.sleep(0.05)
    said = [line for line in (tmp_path / "err").read_text().splitlines() if "groundup: " in line]
    assert len(said) == 1, said
    assert "the launcher, through which 2 processes meet" in said[0]
    assert "the same command goes on" in said[0]
