"""What the README says works, as it is written there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(r"(<!-- not run: ([^>]+) -->\s*)?^```(sh|python)\n(.*?)^```", re.M | re.S)
MOST_NOT_RUN = 3


class Block(NamedTuple):
    language: str
    code: str
    not_run: str | None


def blocks() -> list[Block]:
    found = BLOCK.finditer(README.read_text(encoding="utf-8"))
    return [Block(match[3], match[4], match[2]) for match in found]


def commands() -> list[str]:
    return _lines(b for b in blocks() if b.language == "sh" and not b.not_run)


def _lines(chosen: Iterable[Block]) -> list[str]:
    shell = [block.code.replace("\\\n", " ") for block in chosen]
    lines = [line.strip() for code in shell for line in code.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def test_few_blocks_are_not_run() -> None:
    assert len([block for block in blocks() if block.not_run]) <= MOST_NOT_RUN


def test_make_knows_its_targets() -> None:
    lines = _lines(block for block in blocks() if block.language == "sh")
    targets = [shlex.split(c, comments=True)[1:] for c in lines if c.startswith("make ")]
    assert ["demo"] in targets
    assert ["test"] in targets
    for words in targets:
        done = subprocess.run(
            ["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_the_commands_run_in_order(tmp_path: Path) -> None:
    binaries = Path(sys.executable).parent
    own = tmp_path / "bin"
    own.mkdir()
    (own / "groundup").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m groundup "$@"\n')
    (own / "groundup").chmod(0o755)
    path = os.pathsep.join([str(own), str(binaries), os.environ["PATH"]])
    for command in commands():
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            input="",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    for block in blocks():
        if block.language == "python" and not block.not_run:
            exec(compile(block.code, "README.md", "exec"), namespace)
