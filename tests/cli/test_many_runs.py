"""`groundup runs` over more runs than a screen has lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from groundup import GPT, ByteTokenizer, GPTConfig, save
from groundup.cli.runs import AT_ONCE
from groundup.runs.listing import list_runs
from tests.cli.conftest import Groundup, environment

CONFIG = GPTConfig(vocab_size=257, context_length=8, emb_dim=16, n_heads=2, n_layers=1)


def make_runs(root: Path, n_runs: int, n_lines: int) -> None:
    """Write runs with a line of metrics a step, every hundredth of them of a validation."""
    save(GPT(CONFIG), ByteTokenizer(), root / "00000")
    settings = (root / "00000" / "run.toml").read_text()
    figures = {"train_loss": 2.123456789, "lr": 0.00123456789, "grad_norm": 0.987654321, "mfu": 0.3}
    lines = []
    for step in range(n_lines):
        at = {"step": step, "tokens": step * 2048, "seconds": step * 0.1234}
        measured = {"val_loss": 3 - step / n_lines, "val_perplexity": 9.123456789}
        lines.append(json.dumps(at | (figures if step % 100 else measured)) + "\n")
    (root / "00000" / "metrics.jsonl").write_text("".join(lines))
    for number in range(1, n_runs):
        run = root / f"{number:05d}"
        run.mkdir()
        (run / "run.toml").write_text(f"{settings}\n[number]\nn = {number}\n")
        os.link(root / "00000" / "metrics.jsonl", run / "metrics.jsonl")
        (run / "checkpoints" / "step-00000001").mkdir(parents=True)


def test_many_runs_are_shown_part_by_part(groundup: Groundup, tmp_path: Path) -> None:
    n_runs = 2 * AT_ONCE + 3
    make_runs(tmp_path / "runs", n_runs, 101)
    (tmp_path / "runs" / "00070" / "run.toml").write_text("format = ")
    lines = groundup("runs").out.splitlines()
    names = [line.split()[0] for line in lines[: n_runs + 1]]
    assert names == ["run", *(f"{number:05d}" for number in range(n_runs))]
    assert {line.index("interrupted") for line in lines[1:n_runs] if "damaged" not in line} == {7}
    (error,) = lines[n_runs + 1 :]
    assert "expected TOML" in error
    listed = json.loads(groundup("runs", "--json").out)
    assert [run["name"] for run in listed] == names[1:]
    assert {run["best_val_loss"] for run in listed} == {None, 3 - 100 / 101}


def test_the_first_ones_are_shown_at_once(tmp_path: Path) -> None:
    make_runs(tmp_path / "runs", 2 * AT_ONCE, 3)
    waits = tmp_path / "runs" / f"{AT_ONCE + 1:05d}" / "metrics.jsonl"
    waits.unlink()
    command = [sys.executable, "-c", SLOWLY.format(waits=waits.parent.name), "runs"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(AT_ONCE)]
        waits.write_text("{}")
        assert len(process.communicate()[0].splitlines()) == AT_ONCE + 1
    assert seen[-1].startswith(f"{AT_ONCE - 2:05d} ")


SLOWLY = """
import time
from groundup.cli import main
from groundup.runs import listing

def read_ends(path):
    while path.parent.name == {waits!r} and not path.exists():
        time.sleep(0.01)
    return was(path)

was, listing.read_ends = listing.read_ends, read_ends
main()
"""


@pytest.mark.slow
def test_two_thousand_runs_take_seconds(tmp_path: Path) -> None:
    make_runs(tmp_path / "runs", 2000, 2000)
    time.sleep(3)  # what has just changed is read again
    took = []
    for _ in range(2):
        begun = os.times()
        subprocess.run(
            [sys.executable, "-m", "groundup", "runs"],
            cwd=tmp_path,
            env=environment(GROUNDUP_CACHE=str(tmp_path / "cache")),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        ended = os.times()
        took.append(ended.children_user - begun.children_user)
    assert took[0] < 5, took
    assert took[1] < 1, took
    assert len(list_runs(tmp_path / "runs", verdicts=False)) == 2000
