"""The command line in this process, as a user would call it."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from groundup.cli import main
from tests.texts import text_file

PICO = ["--preset", "pico"]
TINY = {"emb_dim": 16, "n_heads": 2, "n_layers": 2, "context_length": 16, "vocab_size": 300}
SHORT = {"batch_size": 4, "eval_every": 6, "eval_tokens": 256, "sample_tokens": 5, "threads": 1}
TRAIN = ["train", *PICO, *(w for k, v in (TINY | SHORT).items() for w in ("--set", f"{k}={v}"))]


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of an error, without the program's name."""
        lines = self.err.splitlines()
        assert len(lines) == 1, f"expected one line on standard error:\n{self.err}"
        assert lines[0].startswith("groundup: ")
        assert "Traceback" not in self.err
        assert "unexpected" not in self.err
        return lines[0].removeprefix("groundup: ")


Groundup = Callable[..., Result]


@pytest.fixture
def groundup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Groundup]:
    """Call the entry point with words, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONSAFEPATH", "1")  # as the command sets it, and taken back afterwards
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def call(*words: object, stdin: str | bytes = "") -> Result:
        monkeypatch.setattr(sys, "argv", ["groundup", *map(str, words)])
        raw = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8"))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Result(ended.value.code, captured.out, captured.err)

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def story(tmp_path: Path) -> Path:
    return text_file(tmp_path)


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first test that needed a run left behind, for all that need it again."""
    return tmp_path_factory.mktemp("trained")


def run_of(groundup: Groundup, story: Path, once: Path, *words: object) -> None:
    """Train with some words in the folder of `story`, or copy what that has made before."""
    kept = once / "-".join(map(str, words))
    if kept.exists():
        shutil.copytree(kept, story.parent, dirs_exist_ok=True)
        return
    assert groundup(*TRAIN, "story.txt", *words).status == 0
    shutil.copytree(story.parent, kept)


@pytest.fixture
def trained(groundup: Groundup, story: Path, trained_once: Path) -> Path:
    """A run folder of two checkpoints, `runs/story-pico`, seen from the current folder."""
    run_of(groundup, story, trained_once, "--steps", 12)
    return Path("runs/story-pico")


@pytest.fixture
def trained_chars(groundup: Groundup, story: Path, trained_once: Path) -> Path:
    words = ("--steps", 3, "--tokenizer", "chars", "--run", "letters")
    run_of(groundup, story, trained_once, *words)
    return Path("runs/letters")


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file's bytes, hidden ones included; the empty locks apart."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def command_line(*words: object) -> list[str]:
    return [sys.executable, "-m", "groundup", *map(str, words)]


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **changes}
