"""The F1 of SQuAD, against precision and recall worked out word by word."""

from __future__ import annotations

import random

import pytest

from groundup.evaluate import token_f1
from groundup.evaluate.answers import _words


@pytest.mark.parametrize(
    ("answer", "reply", "f1"),
    [
        ("Lisbon", "lisbon.", 1),
        ("the green lamp", "A green lamp", 1),  # articles do not count
        ("Lisbon", "in Lisbon", 2 / 3),  # half of the reply, all of the answer
        ("apple, lamp, zebra", "zebra lamp apple", 1),  # nor do order and punctuation
        ("lamp lamp", "lamp", 2 / 3),  # a word counts as often as both have it
        ("lamp", "lamp lamp lamp", 1 / 2),
        ("12", "13", 0),
        ("12", "", 0),
        ("the", "a", 1),  # nothing is left of either
        ("the", "lamp", 0),
        ("theatre", "atre", 0),  # an article is a word
    ],
)
def test_known_cases(answer: str, reply: str, f1: float) -> None:
    assert token_f1(answer, reply) == pytest.approx(f1, abs=1e-12)


def test_it_is_the_harmonic_mean_of_precision_and_recall() -> None:
    draws = random.Random(0)
    for _ in range(300):
        answer, reply = (" ".join(draws.choices("bcde", k=draws.randint(1, 6))) for _ in "ab")
        left, shared = _words(answer), 0
        for word in _words(reply):
            if word in left:
                left.remove(word)
                shared += 1
        precision, recall = shared / len(_words(reply)), shared / len(_words(answer))
        f1 = 2 * precision * recall / (precision + recall) if shared else 0.0
        assert token_f1(answer, reply) == pytest.approx(f1, abs=1e-12)
        assert token_f1(answer, reply) == token_f1(reply, answer)
