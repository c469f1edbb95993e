"""How threads wait for each other."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from groundup.base import openmp


def test_what_the_user_says_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in openmp.POLICIES:
        monkeypatch.delenv(name, raising=False)
    openmp.wait_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == openmp.SPINS
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    openmp.wait_briefly()
    assert "GOMP_SPINCOUNT" not in os.environ


def test_the_command_says_so_before_pytorch_is_there() -> None:
    code = (
        "import os, sys; sys.argv[1:] = ['--version']\n"
        "from groundup.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    )
    clean = {k: v for k, v in os.environ.items() if k not in openmp.POLICIES}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-2:] == [openmp.SPINS, "False"]
