"""The commands of examples/assistant.md, with steps of seconds, on little text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from groundup.data import CORPORA, RECORD_SETS, DialogueSet, corpus_files
from groundup.data.corpora import Generated
from groundup.data.tasks import TEST, TRAIN, make_tasks
from groundup.data.text_fields import Records
from groundup.runs import RunFolder
from tests.cli.conftest import Groundup

PAGE = Path(__file__).parents[2] / "examples" / "assistant.md"
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.M | re.S)
SHORTER = {"--minutes": ("--steps", "2"), "--replies": ("--replies", "12")}
SMALL = ["--set", "threads=1", "--set", "eval_tokens=256"]
N_DOCUMENTS = 32


def commands() -> list[list[str]]:
    """Return the words of each command, the longest ways of it made short."""
    found = []
    for code in SHELL.findall(PAGE.read_text(encoding="utf-8")):
        line = re.sub(r"\$\(groundup data get (\w+)\)", lambda m: str(corpus_files(m[1])), code)
        words = shlex.split(line.replace("\\\n", " "))[1:]
        for long, (option, value) in SHORTER.items():
            if long in words:
                at = words.index(long)
                words[at : at + 2] = [option, value]
        found.append([*words, *(SMALL if words[0] != "chat" else ())])
    return found


def talk(number: int) -> list[str]:
    return [f"Hello, I am number {number}.", "Hi! How are you?", "Fine.", f"So am I, {number}."]


def task_text() -> Iterator[tuple[str, str]]:
    tasks = make_tasks(TRAIN, 100)
    for number in range(N_DOCUMENTS):
        some = tasks[number::N_DOCUMENTS]
        text = "\n".join(f"{task.question}\n{task.answer}\n" for task in some)
        yield f"tasks-{number:03}.txt", text


def small_talk() -> Iterator[tuple[str, str]]:
    for number in range(N_DOCUMENTS):
        yield f"{number % 16:x}{number}.txt", "\n".join(talk(number)) + "\n"


def task_records() -> Records:
    for split in (TRAIN, TEST):
        for number, task in enumerate(make_tasks(split, 3)):
            yield f"tasks, {split} {number}", task.record()


def talk_records() -> Records:
    for number in range(20):
        roles = ("user", "assistant") * 2
        said = [{"role": r, "content": c} for r, c in zip(roles, talk(number), strict=True)]
        yield f"chitchat, {number}", {"messages": said, "split": "train" if number % 5 else "test"}


@pytest.fixture
def little_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the page's names stand for little, which nobody has to fetch."""
    monkeypatch.setenv("GROUNDUP_CACHE", str(tmp_path / "cache"))
    for name, texts in {"tasks": task_text, "chitchat": small_talk}.items():
        size = sum(len(text) for _, text in texts())
        made = replace(CORPORA[name], size=size, documents=N_DOCUMENTS)
        origin = Generated(version="test", texts=texts)
        monkeypatch.setitem(CORPORA, name, replace(made, origin=origin))
    for name, records in {"tasks": task_records, "chitchat": talk_records}.items():
        known = RECORD_SETS[name]
        assert isinstance(known, DialogueSet)
        monkeypatch.setitem(RECORD_SETS, name, replace(known, records=records))


@pytest.mark.usefixtures("little_text")
def test_the_commands_make_an_assistant(groundup: Groundup) -> None:
    read, learn, talk_with = commands()
    assert (read[0], learn[:3], talk_with) == (
        "train",
        ["finetune", "instruct", "base"],
        ["chat", "assistant"],
    )
    for words in (read, learn):
        done = groundup(*words)
        assert done.status == 0, done.err
    done = groundup(*talk_with, stdin="/set max_tokens 4\nHi!\n")
    assert done.status == 0, done.err
    assert RunFolder(Path("runs/assistant")).assistant.exists()


def test_its_minutes_are_within_twenty() -> None:
    minutes = re.findall(r"--minutes (\d+)", PAGE.read_text(encoding="utf-8"))
    assert len(minutes) == 2
    assert sum(map(int, minutes)) <= 16  # what is left is for reading and judging
