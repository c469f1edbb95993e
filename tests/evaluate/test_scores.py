"""Marks and standard errors against numpy, and against the bootstrap that they stand for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from groundup.evaluate import Score
from groundup.evaluate.scores import (
    argmax,
    mean,
    mean_error,
    metric_values,
    perplexity,
    perplexity_error,
)
from groundup.evaluate.tasks import Question


def question(gold: int, *lengths: int) -> Question:
    return Question([("context", " answer")] * len(lengths), gold, list(lengths))


def scores(*values: float) -> list[Score]:
    return [Score(value, greedy=False) for value in values]


def test_the_likeliest_choice_counts_and_the_likeliest_a_character() -> None:
    assert metric_values(question(0, 10, 40), scores(-5.0, -8.0)) == {"acc": 1.0, "acc_norm": 0.0}
    assert metric_values(question(1, 10, 40), scores(-5.0, -8.0)) == {"acc": 0.0, "acc_norm": 1.0}


def test_a_single_continuation_counts_when_it_is_what_would_be_written() -> None:
    assert metric_values(question(0, 4), [Score(-2.5, True)]) == {"acc": 1.0, "perplexity": -2.5}
    assert metric_values(question(0, 4), [Score(-2.5, False)]) == {"acc": 0.0, "perplexity": -2.5}


def test_an_answer_without_characters_is_never_the_likeliest_a_character() -> None:
    assert metric_values(question(1, 0, 3), scores(-0.1, -9.0))["acc_norm"] == 1.0


@pytest.mark.parametrize(
    "values", [[1.0, 2.0, 2.0], [3.0, 1.0], [-math.inf, -2.0], [1.0, math.nan, 5.0, math.nan]]
)
def test_the_first_of_equals_is_best(values: list[float]) -> None:
    assert argmax(values) == int(np.argmax(values))


def test_mean_and_its_error_are_those_of_numpy() -> None:
    values = np.random.default_rng(1).integers(2, size=97).astype(float).tolist()
    assert mean(values) == pytest.approx(np.mean(values))
    assert mean_error(values) == pytest.approx(np.std(values, ddof=1) / math.sqrt(97))
    assert math.isnan(mean_error([1.0]))


@pytest.mark.parametrize("n", [2, 5, 60])
def test_the_error_of_the_perplexity_is_that_of_the_bootstrap(n: int) -> None:
    random = np.random.default_rng(n)
    values = -random.exponential(2.0, size=n)
    samples = random.choice(values, size=(200_000, n))
    drawn = np.exp(-samples.mean(axis=1)).std(ddof=1)
    assert perplexity(values.tolist()) == pytest.approx(math.exp(-values.mean()))
    assert perplexity_error(values.tolist()) == pytest.approx(drawn, rel=0.01)


def test_a_hopeless_model_has_no_finite_perplexity() -> None:
    assert perplexity([-900.0, -1000.0]) == math.inf
    assert perplexity_error([-3.0, -3.0]) == 0.0
