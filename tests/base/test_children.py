"""No module of the working folder runs in a child process of ours, nor in what that one starts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import groundup
from groundup.base.children import run_python, safe_environment

PLANTED = (
    "pip", "logging", "typing", "json", "site", "sitecustomize", "usercustomize", "subprocess",
    "tempfile", "zipfile", "platform", "ssl", "email", "datetime", "contextlib", "signal",
    "numpy", "torch", "jinja2", "markupsafe", "importlib", "runpy", "hashlib", "groundup",
)  # fmt: skip
COMMAND = "from groundup.cli import main; main()"
RENDER = """
from groundup.generate.template import ChatTemplate
print(ChatTemplate("{{ messages[0].content }}").render([{"role": "user", "content": "rendered"}]))
"""


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder as of a cloned repository: what is imported from it leaves a mark."""
    folder = tmp_path / "cloned"
    folder.mkdir()
    for name in PLANTED:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write('{name} ')")
    (folder / "story.txt").write_text("the cat sat on the mat. " * 40)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GROUNDUP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    # An empty entry means the working folder, and is a common slip: PYTHONPATH=$PYTHONPATH:/own.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", *filter(None, sys.path)]))
    return folder


def marks(folder: Path) -> list[str]:
    ran = folder.with_name("ran")
    return ran.read_text().split() if ran.exists() else []


def test_what_is_planted_would_run(planted: Path) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    assert marks(planted)


def test_a_child_and_its_children_import_nothing_planted(planted: Path) -> None:
    inner = "import json, logging, pip; print(pip.__file__)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], check=True)"
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert str(planted) not in done.stdout
    assert not marks(planted)


def run_like_the_command(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `code` as a console script does, without the working folder: for this process alone."""
    environment = safe_environment()
    del environment["PYTHONSAFEPATH"]
    return subprocess.run(
        [sys.executable, "-P", "-c", code, *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    [
        ["data", "get", "shakespeare"],
        ["data", "prepare", "story.txt", "--tokenizer", "gpt2"],
        ["train", "--steps", "1"],
    ],
    ids=" ".join,
)
def test_verbs_that_fetch_run_nothing_planted(planted: Path, words: list[str]) -> None:
    done = run_like_the_command(COMMAND, *words)
    assert "(ERROR: No matching distribution" in done.stderr  # pip itself was asked
    assert not marks(planted)


def test_what_a_library_starts_runs_nothing_planted(planted: Path) -> None:
    code = f"""
import subprocess, sys
try:
    {COMMAND}
except SystemExit:
    subprocess.run([sys.executable, "-c", "import json, logging"], check=True)
"""
    done = run_like_the_command(code, "--version")
    assert done.stdout.startswith("groundup "), done.stderr
    assert not marks(planted)


def test_a_template_is_rendered_by_nothing_planted(planted: Path) -> None:
    done = run_like_the_command(RENDER)
    assert done.stdout.strip() == "rendered", done.stderr
    assert not marks(planted)


def test_folders_that_the_user_named_stay_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "/own", ""]))
    assert safe_environment()["PYTHONPATH"] == "/own"
    monkeypatch.setenv("PYTHONPATH", "")
    assert "PYTHONPATH" not in safe_environment()


def test_no_other_file_starts_processes() -> None:
    starts = re.compile(
        r"subprocess\.(run|Popen|call|check_)|multiprocessing|ProcessPool|os\.(exec|spawn|fork|system|popen)"
    )
    package = Path(groundup.__file__).parent
    files = (file for file in package.rglob("*.py") if starts.search(file.read_text("utf-8")))
    assert [file.name for file in files] == ["children.py"]
