"""What the verbs do with a part that groundup does not have: they name it, and tell of its run."""

from __future__ import annotations

from pathlib import Path

import pytest

from groundup import CharTokenizer
from groundup.train import train
from tests.cli.conftest import Groundup
from tests.model.own_parts import own_gpt

TEXT = "the cat sat on the mat. the dog sat on the log. " * 20


@pytest.fixture
def run(tmp_path: Path) -> Path:
    tokenizer = CharTokenizer.train([TEXT])
    model = own_gpt("all", vocab_size=tokenizer.vocab_size)
    train(model, tokenizer, TEXT, steps=2, run=tmp_path / "mine", show=False)
    return tmp_path / "mine"


def test_a_run_with_it_is_told_of_and_not_used(groundup: Groundup, run: Path) -> None:
    for verb in ("generate", "chat", "evaluate", "quantize"):
        result = groundup(verb, run)
        assert result.status == 1
        assert "norm_order = 'memory'" in result.error, verb
        assert "parts=replace(PARTS, " in result.error, verb
    assert "norm = 'none'" in groundup("export", run, "out").error
    assert "norm = 'none'" in groundup("train", "--from", run).error
    on = groundup("resume", run)
    assert on.status == 2
    assert "norm = 'none'" in on.error
    assert "repeat its call there: train(model, tokenizer, text, run=" in on.error
    for words in (["report", run], ["runs", "--runs", run.parent], ["compare", run, run]):
        assert groundup(*words).status == 0


@pytest.mark.parametrize("words", [["plan", "nano"], ["train"]])
def test_its_name_is_refused_at_once(groundup: Groundup, words: list[str]) -> None:
    for said in ("norm=squash", "norm_order=bare", "attention=linear"):
        result = groundup(*words, "--set", said)
        name, _, value = said.partition("=")
        assert (result.status, result.error.partition(": ")[0]) == (2, f"{name} = {value!r}")
