"""Chance that is the same everywhere, and values that have a side."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from groundup.data.tasks.draws import TEST, TRAIN, Draws, on_side, side_of
from groundup.data.tasks.people_and_cities import CITIES, NAMES
from groundup.data.tasks.word_lists import ADJECTIVES, OBJECTS, OF_THINGS, VERBS, WORDS

POOLS = (WORDS, OBJECTS, ADJECTIVES, OF_THINGS, VERBS, NAMES, CITIES)


def test_of_random_only_the_documented_part_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """`random()` after seeding with an integer keeps its sequence, whatever the version."""
    assert [int(random.Random(12).random() * 1000) for _ in range(1)] == [474]
    for name in ("randrange", "choice", "choices", "sample", "shuffle", "getrandbits", "randint"):
        monkeypatch.setattr(random.Random, name, None)
    draws = Draws(TRAIN, 1, "name")
    draws.words(WORDS, 3)
    draws.numbers(1, 99, 3)
    assert draws.below(1) == 0
    assert sorted(draws.shuffled("abc")) == ["a", "b", "c"]


def test_every_order_is_as_likely() -> None:
    draws = Draws(TRAIN, 1, "orders")
    orders = Counter("".join(draws.shuffled("abc")) for _ in range(6000))
    assert len(orders) == 6
    assert all(850 < count < 1150 for count in orders.values())  # five standard deviations of 29


@pytest.mark.parametrize("split", [TRAIN, TEST])
def test_draws_are_different_of_their_side_and_remembered(split: str) -> None:
    draws = Draws(split, 1, "any")
    for _ in range(50):
        draws.begin()
        drawn = [*draws.words(WORDS, 5), *map(str, draws.numbers(10, 99, 4)), draws.word(NAMES)]
        assert draws.values == drawn
        assert len(set(drawn)) == len(drawn)
        assert {side_of(value) for value in drawn} == {split}
        assert all(10 <= int(number) <= 99 for number in drawn[5:9])


def test_a_side_is_that_of_the_value_whatever_its_case() -> None:
    assert all(side_of(name) == side_of(name.upper()) for name in NAMES)
    for pool in POOLS:
        train, test = on_side(pool, TRAIN), on_side(pool, TEST)
        assert sorted((*train, *test)) == sorted(pool)
        assert 0.12 < len(test) / len(pool) < 0.38


def test_the_lists_are_large_and_nothing_stands_twice() -> None:
    lower = [word.lower() for word in (*WORDS, *ADJECTIVES, *NAMES, *CITIES)]
    assert len(lower) == len(set(lower))
    assert len(VERBS) == len(set(VERBS))
    assert len(WORDS) > 400
    assert len(NAMES) > 250
    assert len(CITIES) > 200
    assert set(OF_THINGS) <= set(ADJECTIVES)
    assert all(word.isascii() and word.isalpha() for word in lower)
