"""The figures of a classifier are those of scikit-learn, and their intervals hold what they say."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, f1_score, log_loss, precision_recall_fscore_support

from groundup.base.errors import RunError
from groundup.evaluate.classification import (
    SHOWN_CHARACTERS,
    Classification,
    macro_f1,
    macro_f1_interval,
    mcnemar,
    worst_errors,
)
from groundup.evaluate.intervals import wilson


def random_one(n: int, k: int, seed: int = 0, sure: float = 2.0) -> Classification:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    logits = rng.normal(0, 1, (n, k))
    logits[np.arange(n), truth] += sure
    exps = np.exp(logits)
    labels = tuple(f"label {i}" for i in range(k))
    return Classification(labels, truth, exps / exps.sum(axis=1, keepdims=True))


def exactly(truth: list[int], taken: list[int], k: int) -> Classification:
    rows = np.full((len(truth), k), 0.1 / (k - 1))
    rows[np.arange(len(truth)), taken] = 0.9
    return Classification(tuple(map(str, range(k))), np.array(truth), rows)


@pytest.mark.parametrize(("n", "k"), [(1, 2), (50, 2), (300, 7), (40, 20)])
def test_all_figures_are_those_of_scikit_learn(n: int, k: int) -> None:
    one = random_one(n, k, seed=n)
    figures, classes = one.figures, range(k)
    truth, taken = one.truth, one.prediction
    expected = precision_recall_fscore_support(truth, taken, labels=classes, zero_division=0)
    ours = [[getattr(c, f) for c in figures.classes] for f in ("precision", "recall", "f1")]
    np.testing.assert_allclose(ours, expected[:3], rtol=1e-12)
    assert [c.support for c in figures.classes] == expected[3].tolist()
    assert figures.accuracy == np.mean(truth == taken)
    assert figures.log_loss == pytest.approx(log_loss(truth, one.probabilities, labels=classes))
    macro = f1_score(truth, taken, average="macro", zero_division=0)
    assert figures.macro_f1 == pytest.approx(macro, rel=1e-12)
    cells = confusion_matrix(truth, taken, labels=classes)
    assert [list(row) for row in figures.confusion] == cells.tolist()


@pytest.mark.parametrize(
    ("truth", "taken"),
    [
        ([0, 0, 1, 1], [0, 0, 0, 0]),  # 1 is never predicted
        ([0, 0, 1, 1], [0, 2, 1, 1]),  # 2 is never true
        ([0, 0, 1, 1], [0, 1, 1, 1]),  # 2 is neither
        ([0, 0, 0], [1, 2, 1]),  # nothing is right
    ],
)
def test_classes_without_truth_or_predictions(truth: list[int], taken: list[int]) -> None:
    macro = f1_score(truth, taken, average="macro", zero_division=0)
    assert exactly(truth, taken, 3).figures.macro_f1 == pytest.approx(macro)


def test_a_probability_of_zero_has_a_finite_loss_as_in_scikit_learn() -> None:
    rows = np.array([[1.0, 0.0], [0.0, 1.0]])
    one = Classification(("a", "b"), np.array([1, 1]), rows)
    assert one.figures.log_loss == pytest.approx(log_loss([1, 1], rows, labels=[0, 1]))
    assert math.isfinite(one.figures.log_loss)


def test_the_wilson_interval_is_that_of_scipy_and_never_of_no_length() -> None:
    for right, n in ((0, 10), (3, 7), (489, 500), (500, 500), (1, 1)):
        low, high = wilson(right, n)
        theirs = binomtest(right, n).proportion_ci(method="wilson")
        assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
        assert 0 <= low < high <= 1


@pytest.mark.parametrize(
    ("sizes", "rates", "least"),
    [
        ((250, 250), (0.97, 0.97), 0.90),
        ((395, 55), (0.997, 0.96), 0.90),
        ((50, 50), (0.99, 0.99), 0.90),  # the plain bootstrap: 0.66
        ((40,) * 6, (0.8,) * 6, 0.90),
    ],
)
def test_the_interval_of_the_macro_f1_holds_the_true_value(
    sizes: tuple[int, ...], rates: tuple[float, ...], least: float
) -> None:
    rng, k = np.random.default_rng(5), len(sizes)
    rows = np.full((k, k), 1.0) * ((1 - np.array(rates)) / (k - 1))[:, None]
    np.fill_diagonal(rows, rates)
    true = float(macro_f1(rows * np.array(sizes)[:, None]))
    held = 0
    for i in range(200):
        seen = np.stack([rng.multinomial(n, row) for n, row in zip(sizes, rows, strict=True)])
        low, high = macro_f1_interval(seen, seed=i, resamples=400)
        held += low <= true <= high
    assert held / 200 >= least


def test_intervals_are_the_same_each_time_and_hold_their_value() -> None:
    one, again = random_one(200, 3).figures, random_one(200, 3).figures
    assert one == again
    for value, (low, high) in (
        (one.accuracy, one.accuracy_interval),
        (one.macro_f1, one.macro_f1_interval),
        (one.ece, one.ece_interval),
    ):
        assert low <= value <= high
        assert low < high


def test_two_thousand_resamples_take_no_time() -> None:
    one = random_one(500, 2)
    begun = time.process_time()
    assert one.figures.examples == 500
    assert time.process_time() - begun < 1


@pytest.mark.parametrize(("a", "b"), [(12, 3), (3, 12), (5, 5), (0, 0), (1, 0), (900, 1000)])
def test_mcnemar_is_the_binomial_test(a: int, b: int) -> None:
    right_a = np.array([True] * a + [False] * b + [True] * 9 + [False] * 4)
    right_b = np.array([False] * a + [True] * b + [True] * 9 + [False] * 4)
    found = mcnemar(right_a, right_b)
    assert (found.only_a, found.only_b) == (a, b)
    expected = binomtest(a, a + b).pvalue if a + b else 1.0
    assert found.p_value == pytest.approx(expected, rel=1e-9)
    with pytest.raises(ValueError, match="same examples"):
        mcnemar(right_a, right_b[1:])


def test_the_worst_errors_come_first_with_their_texts() -> None:
    rows = np.array([[0.9, 0.1], [0.2, 0.8], [0.99, 0.01], [0.4, 0.6]])
    one = Classification(("ham", "spam"), np.array([1, 1, 1, 0]), rows)
    texts = ["a", "b", "c" * (SHOWN_CHARACTERS + 7), "d"]
    found = worst_errors(one, texts, [f"x.csv, record {i}" for i in range(4)])
    assert [e.where[-1] for e in found] == ["2", "0", "3"]
    assert (found[0].truth, found[0].prediction) == ("spam", "ham")
    assert (found[0].probability, found[0].truth_probability) == pytest.approx((0.99, 0.01))
    assert (len(found[0].text), found[0].left_out) == (SHOWN_CHARACTERS, 7)
    assert len(worst_errors(one, texts, texts, most=1)) == 1


def nan(rows: Any) -> Any:
    rows[1, 0] = math.nan
    return rows


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (nan, RunError, "no finite numbers in 1 of 4"),
        (lambda rows: rows * 2, ValueError, "sum to 1"),
        (lambda rows: rows[:3], ValueError, r"shape \(3, 2\) for 4 examples"),
        (lambda rows: rows[:, :1], ValueError, "of 2 labels"),
        (lambda rows: np.add(rows, [1, -1]), ValueError, "between 0 and 1"),
    ],
)
def test_what_are_no_probabilities_is_refused(
    spoil: Callable[[Any], Any], error: type[Exception], words: str
) -> None:
    rows = np.full((4, 2), 0.5)
    with pytest.raises(error, match=words):
        Classification(("a", "b"), np.array([0, 1, 1, 0]), spoil(rows))


def test_labels_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="0 to 1"):
        Classification(("a", "b"), np.array([0, 2]), np.full((2, 2), 0.5))


def test_an_interval_of_many_classes_takes_little_memory() -> None:
    confusion = np.eye(150, dtype=np.int64)
    tracemalloc.start()
    low, high = macro_f1_interval(confusion)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0 < low < high == 1
    assert peak < 20e6  # all matrices would take 640 MB with their copy
