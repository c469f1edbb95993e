"""One trainer a folder, and no lock outlives its holder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.base.errors import GroundupError, RunError
from groundup.base.lock import is_locked
from groundup.runs import run_lock

HOLD = """
import sys
from pathlib import Path
from groundup.runs import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_names_its_holder_and_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "run" / "lock"
    assert not is_locked(path)
    with run_lock(path):
        assert is_locked(path)
        with pytest.raises(RunError, match=f"process {os.getpid()} is training here"):
            run_lock(path).__enter__()
    assert not is_locked(path)


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    assert is_locked(path)
    with pytest.raises(RunError, match=f"process {process.pid} "):
        run_lock(path).__enter__()
    process.kill()
    process.communicate()
    with run_lock(path):
        pass


def test_where_no_lock_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GroundupError, match="check the path"):
        run_lock(tmp_path / "file" / "lock").__enter__()
