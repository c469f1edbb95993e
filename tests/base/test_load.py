"""What others do with the cores, as Linux tells it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from groundup.base import load
from groundup.base.load import CoreWatch

TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@pytest.fixture
def stat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that tells of cores 0 and 1, of which this process may use both."""
    monkeypatch.setattr(load, "STAT", tmp_path / "stat")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    return tmp_path / "stat"


def write(stat: Path, *cores: tuple[float, float]) -> None:
    """Tell how many seconds each core was busy and idle."""
    rows = [
        f"cpu{n} {int(busy * TICKS)} 0 0 {int(idle * TICKS)} 0 0 0 0 0 0"
        for n, (busy, idle) in enumerate(cores)
    ]
    stat.write_text("\n".join(["cpu  1 2 3 4 5 6 7 8 9 10", *rows, "intr 5"]))


def test_what_others_use_is_the_rest(stat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = [5.0]
    monkeypatch.setattr(time, "process_time", lambda: own[0])
    write(stat, (10, 10), (10, 10), (50, 50))  # the last is not ours to use
    watch = CoreWatch()
    own[0] += 3
    write(stat, (14, 10), (12, 12), (60, 50))
    seen = watch.look()
    assert seen is not None
    assert seen.idle == pytest.approx(0.5)
    assert seen.others == pytest.approx(2 - 0.5 - 0.75)
    assert watch.look() is None  # no time has gone


def test_a_system_that_does_not_tell(stat: Path) -> None:
    assert CoreWatch().look() is None
