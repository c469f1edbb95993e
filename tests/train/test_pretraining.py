"""Training on a text: its prompts, and passes over it as steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from groundup.data import TokenSplit
from groundup.tokenizer import ByteTokenizer
from groundup.train import train_run
from groundup.train.pretraining import steps_of
from groundup.train.validate import prompt_from
from tests.train.test_run import quiet, request


def test_a_prompt_from_the_middle_begins_with_a_whole_character() -> None:
    tokenizer = ByteTokenizer()
    ids = tokenizer.encode_array("é🎈" * 80)
    splits = [TokenSplit.from_array(ids[n:], len(ids) - n) for n in range(12)]
    prompts = {prompt_from(tokenizer, split) for split in splits}
    assert prompts == {"é🎈" * 12, "🎈é" * 12}


@pytest.mark.parametrize(
    ("epochs", "n_tokens", "per_step", "expected"),
    [(1, 640, 64, 10), (1, 641, 64, 11), (2.5, 640, 64, 25), (0.01, 640, 64, 1), (3, 10, 64, 1)],
)
def test_steps_are_the_fewest_that_make_the_passes(
    epochs: float, n_tokens: int, per_step: int, expected: int
) -> None:
    steps = steps_of(epochs, n_tokens, per_step)
    assert steps == expected
    assert steps == 1 or (steps - 1) * per_step < epochs * n_tokens <= steps * per_step


def test_what_was_asked_of_the_vocabulary_is_kept_beside_what_came_of_it(tmp_path: Path) -> None:
    asked = replace(request(tmp_path, steps=1), tokenizer="chars")
    manifest = train_run(asked, quiet()).folder.read()
    assert manifest.request is not None
    assert manifest.request.text is not None
    assert manifest.request.text["vocab_size"] == 300
    assert manifest.request.model == manifest.model
    assert manifest.model["vocab_size"] == manifest.data.vocab_size != 300
