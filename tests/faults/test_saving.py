"""Saving that is interrupted or finds no room: what was committed stays, nothing is left over."""

from __future__ import annotations

import random
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from groundup.runs import RunFolder
from groundup.runs.checkpoint import list_checkpoints
from tests.faults.campaign import Campaign
from tests.processes.starting import Training, command, fingerprint, lines, train

SETTINGS: dict[str, Any] = {"steps": 12, "eval_every": 3, "keep": 3}
OPERATIONS = 24
"""Operations on files in a save, about."""
BYTES = 60_000
"""Size of the largest file of a checkpoint, about."""
CHAIN = 10


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, Any]]]:
    run = train(tmp_path_factory.mktemp("whole"), **SETTINGS)
    return fingerprint(run), lines(run)


def sabotage(choose: random.Random, kind: str) -> dict[str, Any]:
    """Return what goes wrong in one of the saves."""
    fault: dict[str, Any] = {"kind": kind, "save": choose.randint(1, 2)}
    if kind == "disk-full":
        return fault | {"size": choose.randint(0, BYTES)}
    if choose.random() < 0.5:
        return fault | {"number": choose.randint(1, OPERATIONS)}
    return fault | {"milliseconds": choose.uniform(0, 20)}


def spoil(
    folder: Path, kind: str, seed: int, faults: int, whole: tuple[str, list[dict[str, Any]]]
) -> int:
    """Spoil so many saves of runs, each in a start of its own; return how many were met."""
    choose = random.Random(f"{kind} {seed}")
    run, met = RunFolder(folder / "runs/run"), 0
    expected = -signal.SIGKILL if kind == "kill-in-save" else 1
    for _ in range(faults):
        words = command(folder, **SETTINGS, save=choose.choice(["background", "foreground"]))
        training = Training(folder, words, 1, sabotage(choose, kind))
        (code,) = training.wait()
        assert code in (0, expected), training.err
        met += code == expected
        if code == 1:
            assert "free some space" in training.err[0], training.err
            assert len(training.err[0].splitlines()) == 1
        for checkpoint in list_checkpoints(run.checkpoints):
            assert checkpoint.damage() is None
        if code == 0:
            check(run, whole)
            shutil.rmtree(run.path)
    Training(folder, words).finish()
    check(run, whole)
    return met


def check(run: RunFolder, whole: tuple[str, list[dict[str, Any]]]) -> None:
    assert (fingerprint(run), lines(run)) == whole
    assert not list(run.path.rglob(".*")), "leftovers of an unfinished save"


@pytest.mark.parametrize("kind", ["kill-in-save", "disk-full"])
def test_a_few_spoilt_saves(
    tmp_path: Path, whole: tuple[str, list[dict[str, Any]]], kind: str
) -> None:
    assert spoil(tmp_path, kind, 0, 2, whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"),
    [("kills while saving", "kill-in-save"), ("disk full while saving", "disk-full")],
)
def test_spoilt_saves(
    tmp_path: Path, whole: tuple[str, list[dict[str, Any]]], name: str, kind: str
) -> None:
    campaign = Campaign(name)
    for seed in campaign.seeds(at_once=CHAIN):
        folder = tmp_path / str(seed)
        folder.mkdir()
        outcome, met = "lost or left something", CHAIN
        try:
            met = spoil(folder, kind, seed, CHAIN, whole)
            outcome = "ok"
        finally:
            campaign.record(seed, met, outcome)
