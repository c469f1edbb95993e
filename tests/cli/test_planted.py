"""Modules that lie in the working folder, as in a cloned repository: no verb runs any of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.base.children import safe_environment
from tests.base.test_children import PLANTED
from tests.cli.test_outputs import ASKED, VERBS, ready  # noqa: F401 - a fixture

CONSOLE = [sys.executable, "-P", "-c", "from groundup.cli import main; main()"]
"""As a console script is started: without the working folder, and nothing said of children."""


def run(folder: Path, command: list[str], *words: str, safe: bool = False) -> tuple[int, str]:
    environment = {**safe_environment(), "OMP_NUM_THREADS": "1", "GROUNDUP_CACHE": "cache"}
    environment |= {"PIP_NO_INDEX": "1"}
    if not safe:
        del environment["PYTHONSAFEPATH"]
    with (folder / ASKED).open() as stdin:
        done = subprocess.run(
            [*command, *words],
            cwd=folder,
            env=environment,
            stdin=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
    return done.returncode, done.stderr


@pytest.mark.slow
def test_no_verb_runs_what_is_planted(ready: Path, tmp_path: Path) -> None:  # noqa: F811
    assert len(PLANTED) >= 20
    mark = tmp_path.with_name(f"{tmp_path.name}-ran")
    for name in PLANTED:
        (ready / f"{name}.py").write_text(f"open({str(mark)!r}, 'a').write('{name} ')")
    template = ready.with_name(f"{ready.name}-ready")
    shutil.copytree(ready, template)
    for verb, row in VERBS.items():
        folder = tmp_path / f"in-{verb}".replace(" ", "-")
        shutil.copytree(template, folder)
        status, err = run(folder, CONSOLE, *row.words.split())
        assert status == (2 if row.refused else 0), (verb, err)
        assert not mark.exists(), (verb, mark.read_text())
    for words in (
        ["train", "--steps", "1"],
        ["data", "prepare", "story.txt", "--tokenizer", "gpt2"],
    ):
        assert run(template, CONSOLE, *words)[0] == 1  # pip was asked, and had no index
        assert not mark.exists(), (words, mark.read_text())


def test_python_that_looks_here_first_is_told_once(tmp_path: Path) -> None:
    (tmp_path / ASKED).write_text("")
    module = [sys.executable, "-m", "groundup"]
    assert run(tmp_path, module, "plan", "nano") == (0, "")
    (tmp_path / "turtle.py").write_text("")
    status, err = run(tmp_path, module, "plan", "nano")
    assert status == 0
    assert err.startswith("groundup: turtle.py: Python takes it for the module of that name")
    assert err.count("\n") == 1
    assert run(tmp_path, module, "plan", "nano", safe=True) == (0, "")
    assert run(tmp_path, CONSOLE, "plan", "nano") == (0, "")
