"""Names whose bytes are not UTF-8: used where nothing writes them down, else refused by name."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import TRAIN, Groundup, command_line, files_below

ODD = os.fsdecode(b"x\xff")
REFUSED: dict[str, list[object]] = {
    "run": [*TRAIN, "story.txt", "--run", ODD],
    "runs": [*TRAIN, "story.txt", "--runs", ODD],
    "data": [*TRAIN, "story.txt", "--data", ODD],
    "tokenizer": [*TRAIN, "story.txt", "--tokenizer", f"{ODD}.json"],
    "base": ["train", "story.txt", "--from", ODD, "--run", "new", "--steps", 1],
    "encoding": ["data", "prepare", "story.txt", "--encoding", ODD],
    "records": ["finetune", "classify", "story-pico", "--records", f"{ODD}.csv"],
    "export": ["export", ODD, "out"],
    "gguf": ["export", ODD, "out.gguf"],
    "import": ["import", ODD, "runs/new"],
    "quantize": ["quantize", ODD, "--to", "runs/new"],
}


@pytest.fixture
def odd(trained: Path) -> Path:
    return Path(shutil.copytree(trained, trained.with_name(ODD)))


def test_where_it_would_be_written_down_it_is_refused(groundup: Groundup, odd: Path) -> None:
    before = files_below(Path())
    for what, words in REFUSED.items():
        done = groundup(*words)
        assert done.status == 2, what
        assert r"x\udcff" in done.error or r"x\xff" in done.error, what
    assert files_below(Path()) == before


def test_elsewhere_it_is_a_name_as_any_other(groundup: Groundup, odd: Path) -> None:
    for words in (
        ["generate", ODD, "The", "--max-tokens", 2],
        ["runs", "--json"],
        ["compare", odd, "story-pico", "--out", f"{ODD}.html"],
        ["quantize", "story-pico", "--to", f"runs/{ODD}8", "--limit", 900],
        ["resume", ODD, "--extend", 13],
    ):
        done = groundup(*words)
        assert done.status == 0, done
    assert r"x\xff" in groundup("runs").out


def test_a_program_that_reads_gets_its_bytes(odd: Path) -> None:
    done = subprocess.run(command_line("report", odd), capture_output=True, check=True)
    assert done.stdout == b"runs/x\xff/report.html\n"
