"""A run goes on by its name, and a bare name is one in `runs/`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import typer

from groundup.cli import app as entry
from tests.cli.conftest import TRAIN, Groundup, command_line, environment, files_below


def test_a_run_is_known_by_its_name(groundup: Groundup, trained: Path) -> None:
    by_path = groundup("generate", trained, "The", "--seed", 1, "--max-tokens", 5)
    by_name = groundup("generate", trained.name, "The", "--seed", 1, "--max-tokens", 5)
    assert (by_name.status, by_name.out) == (0, by_path.out)
    assert groundup("report", trained.name).out == f"{trained / 'report.html'}\n"
    assert groundup("compare", trained.name, trained.name, "--json").status == 0
    assert groundup("evaluate", trained.name, "--json").status == 0
    done = groundup(*TRAIN[:1], "story.txt", "--from", trained.name, "--steps", 1, "--json")
    assert json.loads(done.out)["run"] == "runs/story-story-pico"
    request = (Path("runs/story-story-pico") / "run.toml").read_text()
    assert 'run = "runs/story-pico"' in request
    Path("story-pico").mkdir()
    assert "story-pico is not a run folder" in groundup("generate", "story-pico").error


def test_a_finished_run_says_so_by_its_name_alone(groundup: Groundup, trained: Path) -> None:
    before = files_below(trained)
    for words in (["resume", "story-pico"], ["resume", trained], ["train", "--run", "story-pico"]):
        done = groundup(*words)
        assert done.status == 0
        assert "runs/story-pico was finished already, at step 12" in done.out
    assert files_below(trained) == before


def test_a_run_is_lengthened_by_its_name_alone(groundup: Groundup, trained: Path) -> None:
    done = groundup("resume", "story-pico", "--extend", 14)
    assert "Resumed     at step 12 of 14" in done.out
    done = groundup("train", "--run", "story-pico", "--extend", 16, "--json")
    assert json.loads(done.out)["step"] == 16
    assert "was finished already, at step 16" in groundup("resume", "story-pico").out


def test_words_that_contradict_are_refused(groundup: Groundup, trained: Path) -> None:
    before = files_below(trained)
    again = [*TRAIN, "story.txt", "--steps", 12]
    done = groundup(*again, "--set", "learning_rate=0.5", "--set", "n_layers=1")
    assert "(n_layers was 2, now 1; learning_rate was not set, now 0.5)" in done.error
    assert "made by: groundup train --preset pico" in done.error
    done = groundup("train", "--run", "story-pico", "story.txt", "--steps", 12)
    assert "preset was pico, now nano" in done.error
    assert "groundup resume runs/story-pico" in done.error
    assert files_below(trained) == before


def test_nothing_goes_on_from_checkpoints_of_which_nobody_knows_what_they_are(
    groundup: Groundup, trained: Path
) -> None:
    (trained / "run.toml").unlink()
    before = files_below(trained)
    for length in (12, 20):
        done = groundup(*TRAIN, "story.txt", "--steps", length, "--set", "learning_rate=0.5")
        assert done.status == 1
        assert "runs/story-pico holds checkpoints, but no run.toml" in done.error
    assert files_below(trained) == before


@pytest.mark.parametrize(
    ("words", "expected"),
    [("groundup res", {"resume"}), ("groundup plan llama3.2", {"llama3.2-1b", "llama3.2-3b"})],
)
def test_a_shell_can_complete_words(tmp_path: Path, words: str, expected: set[str]) -> None:
    assert completions(tmp_path, words) == expected


def test_a_shell_can_complete_runs(tmp_path: Path) -> None:
    for name in ("story-pico", "story-nano", "other"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.toml").touch()
    expected = {"story-pico", "story-nano"}
    for words in ("groundup generate sto", "groundup resume sto", "groundup train --from sto"):
        assert completions(tmp_path, words) == expected


def completions(folder: Path, words: str) -> set[str]:
    done = subprocess.run(
        command_line(),
        cwd=folder,
        env=environment(
            _GROUNDUP_COMPLETE="complete_bash",
            COMP_WORDS=words,
            COMP_CWORD=str(len(words.split()) - 1),
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_help_reads_well_at_80_columns(groundup: Groundup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "COLUMNS", "80")
    commands = typer.main.get_command(entry.app).commands  # type: ignore[attr-defined]
    for words in [[], ["data"], *([name, "--help"] for name in commands)]:
        lines = groundup(*words).out.splitlines()
        assert max(map(len, lines)) <= 80, words
        assert not [line for line in lines[1:] if line.endswith("...")], words
    assert "Begin with 'groundup train'" in " ".join(groundup().out.split())
