"""Texts, shards and runs in one folder; what --data is; the same text however its lines end."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.cli.standard_io import input_lines, read_text
from groundup.data.streams import plain_text
from tests.cli.conftest import TRAIN, Groundup
from tests.texts import sentences

PREPARE = ("data", "prepare", "--tokenizer", "bytes")


@pytest.mark.parametrize("source", ["data", "."])
def test_training_twice_beside_shards_and_runs(groundup: Groundup, source: str) -> None:
    Path("data").mkdir()
    Path("data/a.txt").write_text(sentences(40))
    Path("data/b.txt").write_text(sentences(40, seed=2))
    words = (*TRAIN, source, "--run", "x", "--steps", 2)
    first = groundup(*words)
    assert first.status == 0
    again = groundup(*words)
    assert again.status == 0
    assert "was finished already" in again.out
    (shards,) = (path for path in Path("data").iterdir() if path.is_dir())
    assert f"{shards} (token shards)" in " ".join(again.out.split())


KILLED = """
import os, signal, sys
from groundup.data import prepare
def progress(stage, done, total):
    if stage == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
prepare(["data"], "bpe", 300, "data", shard_tokens=2000, progress=progress)
"""


@pytest.mark.parametrize("stage", ["tokenizer", "encode"])
def test_interrupted_beside_the_texts(groundup: Groundup, stage: str) -> None:
    Path("data").mkdir()
    Path("data/a.txt").write_text(sentences(200))
    done = subprocess.run([sys.executable, "-c", KILLED, stage], check=False)
    assert done.returncode == -signal.SIGKILL
    (begun,) = (path for path in Path("data").iterdir() if path.is_dir())
    assert (begun / "lock").exists()
    subprocess.run([sys.executable, "-c", KILLED, "never"], check=True)
    assert {path.name for path in Path("data").iterdir()} == {"a.txt", begun.name}
    assert (begun / "manifest.json").exists()


@pytest.mark.parametrize("verb", [("train", "--steps", 1), PREPARE])
def test_a_named_data_folder_with_texts_is_refused(
    groundup: Groundup, verb: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9")  # nothing is fetched
    Path("texts").mkdir()
    Path("texts/a.txt").write_text("words")
    text = () if verb[0] == "train" else ("texts",)
    done = groundup(*verb, *text, "--data", "texts")
    assert done.status == 2
    assert "--data texts: token shards are kept there, but it holds a.txt" in done.error
    assert "groundup train texts" in done.error
    assert [path.name for path in Path().rglob("*")] == ["texts", "a.txt"]


def test_a_named_data_folder_for_shards(groundup: Groundup) -> None:
    Path("a.txt").write_text("words " * 99)
    for _ in range(2):
        assert groundup(*PREPARE, "a.txt", "--data", "shards").status == 0


def test_include(groundup: Groundup) -> None:
    Path("src").mkdir()
    Path("src/a.py").write_text("x = 1\n" * 99)
    done = groundup(*PREPARE, "src")
    assert done.status == 1
    assert "(skipped 1: 1 .py)" in done.error
    assert groundup(*PREPARE, "src", "--include", "*.py").status == 0
    assert groundup(*TRAIN, "src", "--include", "*.py", "--steps", 1).status == 0


WAYS = {
    "lf": lambda text: text.encode(),
    "crlf": lambda text: text.replace("\n", "\r\n").encode(),
    "cr": lambda text: text.replace("\n", "\r").encode(),
    "bom": lambda text: text.encode("utf-8-sig"),
    "crlf bom": lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
    "utf-16": lambda text: text.replace("\n", "\r\n").encode("utf-16"),
}


def test_line_ends_change_nothing_in_training(groundup: Groundup) -> None:
    text = "one\ntwo\n\nthree ü\n" * 20
    printed = set()
    for way, write in WAYS.items():
        Path(f"{way}.txt").write_bytes(write(text))
        done = groundup(*PREPARE, f"{way}.txt", "--split-on", "\r\n\r\n")
        assert done.status == 0, way
        printed.add(done.out)
    assert len(printed) == 1


@pytest.mark.parametrize("way", WAYS)
def test_line_ends_change_nothing_in_evaluation(tmp_path: Path, way: str) -> None:
    text = "one\ntwo \ufeff\n\nthree ü\n"
    (tmp_path / "a").write_bytes(WAYS[way](text))
    assert read_text(tmp_path / "a") == plain_text(WAYS[way](text), "a") == text


def test_line_ends_change_nothing_in_writing(groundup: Groundup, trained: Path) -> None:
    options = ("--max-tokens", 4, "--temperature", 0)
    prompt = "The queen\nAnd the king ü\n"
    for words in (("generate", trained, "-"), ("chat", trained)):
        outs = {groundup(*words, *options, stdin=write(prompt)).out for write in WAYS.values()}
        assert len(outs) == 1
        assert outs != {""}


def test_turns_are_answered_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as stdin, os.fdopen(writing, "wb", 0) as pipe:
        monkeypatch.setattr(sys, "stdin", stdin)
        lines = input_lines()
        pipe.write(b"\xef\xbb\xbfone\r\ntwo \xc3")
        assert next(lines) == "one"
        pipe.write(b"\xbc\n\n")
        assert list(itertools.islice(lines, 2)) == ["two ü", ""]
