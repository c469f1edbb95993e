"""The made-up text: what it repeats, and what nobody can know of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from groundup.lab.measures.repeating import (
    DISTANCE,
    KEPT,
    LETTERS,
    TOKENS,
    VALIDATION_TOKENS,
    least_loss,
    repeating_text,
)


def test_a_letter_is_mostly_that_of_so_many_before() -> None:
    split = repeating_text(1).splits[0]
    ids = split.read(0, split.n_tokens)
    for distance in range(1, 2 * DISTANCE):
        same = float((ids[distance:] == ids[:-distance]).mean())
        expected = KEPT + (1 - KEPT) / 16 if distance == DISTANCE else 1 / 16
        assert same == pytest.approx(expected, abs=0.01), distance


def test_all_letters_are_as_frequent() -> None:
    text = repeating_text(2)
    split = text.splits[0]
    counts = np.bincount(split.read(0, split.n_tokens), minlength=16)
    assert len(counts) == text.tokenizer.vocab_size == len(LETTERS)
    assert counts / counts.sum() == pytest.approx(1 / 16, abs=0.004)
    assert text.unigram_entropy == pytest.approx(math.log(16))
    assert text.splits[1].n_tokens == VALIDATION_TOKENS
    assert split.n_tokens + VALIDATION_TOKENS == TOKENS == text.n_characters


def test_who_knows_the_forerunner_loses_the_least_possible() -> None:
    split = repeating_text(3).splits[0]
    ids = split.read(0, split.n_tokens)
    right = KEPT + (1 - KEPT) / 16
    same = ids[DISTANCE:] == ids[:-DISTANCE]
    losses = np.where(same, -math.log(right), -math.log((1 - right) / 15))
    assert losses.mean() == pytest.approx(least_loss(), abs=0.01)


def test_a_seed_is_a_text_of_its_own() -> None:
    first, again, other = (repeating_text(seed).splits[1].read(0, 100) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
