"""Figures of replies against counts made by hand, and their intervals against chance."""

from __future__ import annotations

import numpy as np
import pytest

from groundup.data.tasks import TEST, make_tasks
from groundup.evaluate import score_replies, score_tasks, token_f1
from groundup.evaluate.intervals import wilson


def test_kinds_are_counted_each_and_weigh_the_same() -> None:
    answers = ["12", "7", "Lisbon", "red lamp", "UP"]
    replies = ["12.", "eight", "lisbon", "lamp", "up"]
    kinds = ["count", "count", "extract", "extract", "extract"]
    found = score_replies(answers, replies, kinds)
    assert [(k.kind, k.questions, k.right) for k in found.kinds] == [
        ("count", 2, 1),
        ("extract", 3, 2),
    ]
    assert found.kinds[1].exact_interval == wilson(2, 3)
    assert found.kinds[1].token_f1 == pytest.approx((1 + 2 / 3 + 1) / 3)
    assert (found.questions, found.right) == (5, 3)
    assert found.exact == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found.token_f1 == pytest.approx((1 / 2 + 8 / 9) / 2)
    assert found.exact_interval[0] < found.exact < found.exact_interval[1]


def test_tasks_are_scored_by_their_own_check() -> None:
    """Upper case counts in one kind only: so the kinds reach `is_right`."""
    tasks = make_tasks(TEST, 4)
    replies = [task.answer.lower() if n % 2 else "no" for n, task in enumerate(tasks)]
    found = score_tasks(tasks, replies)
    for kind in found.kinds:
        pairs = [(t, r) for t, r in zip(tasks, replies, strict=True) if t.kind == kind.kind]
        assert kind.right == sum(task.is_right(reply) for task, reply in pairs)
        assert kind.token_f1 == pytest.approx(
            sum(token_f1(task.answer, reply) for task, reply in pairs) / len(pairs)
        )
    assert len(found.kinds) == 10
    assert 0 < found.right < len(tasks) / 2, "lower case should be wrong somewhere"


def test_without_kinds_the_mean_is_that_of_all() -> None:
    found = score_replies(["a b", "b"], ["a b", "c"])
    assert [k.kind for k in found.kinds] == [""]
    assert found.exact == 0.5
    assert found.exact_interval == pytest.approx(wilson(1, 2))


@pytest.mark.parametrize(
    ("answers", "replies", "kinds"),
    [([], [], None), (["a"], [], None), (["a"], ["b"], ["k", "k"])],
)
def test_other_numbers_of_replies_are_refused(
    answers: list[str], replies: list[str], kinds: list[str] | None
) -> None:
    with pytest.raises(ValueError, match="expected as many of each"):
        score_replies(answers, replies, kinds)


@pytest.mark.parametrize("shares", [[0.02] * 4, [0.5] * 4, [0.0, 0.1, 0.3, 0.9]])
@pytest.mark.parametrize("sizes", [(20, 20, 20, 20), (15, 60, 40, 15)])
def test_the_interval_of_the_mean_of_kinds_holds_the_truth_in_95_of_100(
    shares: list[float], sizes: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(1)
    kinds = [kind for kind, n in zip("abcd", sizes, strict=True) for _ in range(n)]
    truth = np.repeat(shares, sizes)
    held = 0
    for draw in rng.random((1000, len(kinds))) < truth:
        replies = ["yes" if right else "no" for right in draw]
        low, high = score_replies(["yes"] * len(kinds), replies, kinds).exact_interval
        held += bool(low <= np.mean(shares) <= high)
    # Of 80 at one half, Wilson's own holds 94.3% exactly; 1,000 draws vary by 0.7%.
    assert held / 1000 >= 0.943 - 2 * 0.0073


def test_the_interval_of_means_of_values_between_0_and_1_holds_the_truth() -> None:
    rng, n = np.random.default_rng(2), 50
    values = rng.beta(0.3, 0.7, size=(2000, n)).sum(axis=1)
    held = [low <= 0.3 <= high for low, high in (wilson(float(v), n) for v in values)]
    assert np.mean(held) >= 0.95


@pytest.mark.parametrize("reply", ["yes", "no"])
def test_an_interval_never_vanishes(reply: str) -> None:
    found = score_replies(["yes"] * 100, [reply] * 100, ["a", "b"] * 50)
    assert found.exact_interval == found.token_f1_interval == wilson(found.right, 100)
    assert 0.01 < found.exact_interval[1] - found.exact_interval[0] < 0.05
