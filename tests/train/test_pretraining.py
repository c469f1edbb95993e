"""Training on a text: its prompts, and passes over it as steps."""

from __future__ import annotations

import pytest

from groundup.data import TokenSplit
from groundup.tokenizer import ByteTokenizer
from groundup.train.pretraining import steps_of
from groundup.train.validate import prompt_from


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
