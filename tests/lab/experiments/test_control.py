"""A against A gives "no difference seen", but for what chance allows."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from groundup.lab.experiment import Results, Study
from groundup.lab.experiments.control import (
    EXPERIMENT,
    chance_range,
    conclude_rounds,
    studies,
)
from groundup.lab.measures.text import DEFAULT_TEXT, read_text
from tests.lab.results import made_up


@pytest.mark.parametrize(("rounds", "expected"), [(200, (3, 17)), (20, (0, 3)), (1, (0, 1))])
def test_the_range_of_chance_is_the_smallest_that_holds_98_of_100(
    rounds: int, expected: tuple[int, int]
) -> None:
    low, high = chance_range(rounds)
    assert (low, high) == expected
    binomial = stats.binom(rounds, 0.05)
    assert binomial.cdf(high) - binomial.cdf(low - 1) >= 0.98
    assert binomial.cdf(high - 1) - binomial.cdf(low) < 0.98


def rounds_of(shift: float) -> Results:
    """Return what 200 rounds would measure, if the arms differed by so many standard deviations."""
    rng = random.Random(1)
    arms = {
        name: {float(x): [rng.gauss(mean, 1) for _ in range(5)] for x in range(1, 201)}
        for name, mean in (("A", 0.0), ("A again", shift))
    }
    return made_up(arms, x_name="round")


def test_false_differences_are_counted_and_compared_with_chance() -> None:
    finding = conclude_rounds(rounds_of(0.0))
    false = finding.figures["false_differences"]
    assert 3 <= false <= 17
    assert finding.came_out is True
    assert finding.verdict.startswith(f"{false} of 200 comparisons of A with itself")
    assert len(finding.tables[0].rows) == false


def test_arms_that_do_differ_are_no_chance() -> None:
    finding = conclude_rounds(rounds_of(2.0))
    assert finding.figures["false_differences"] > 100
    assert finding.came_out is False


def run(study: Study, text: str) -> Results:
    size = read_text(text).tokenizer.vocab_size
    return Results(study, {c: study.measure(study.setting(c, size, text)) for c in study.cells()})


@pytest.fixture
def small_text(tmp_path: Path) -> str:
    rng = random.Random(1)
    path = tmp_path / "text.txt"
    path.write_text("".join(rng.choice("abcde \n") for _ in range(20_000)), "utf-8")
    return str(path)


def test_every_training_has_a_seed_of_its_own(small_text: str) -> None:
    _, many = studies(1.0)
    study = replace(many, xs=(1.0, 2.0), seeds=(1, 2), train={**many.train, "steps": 1})
    results = run(study, small_text)
    losses = [values["val_loss"] for values in results.values.values()]
    assert len(set(losses)) == len(losses) == 2 * 2 * 2
    assert run(study, small_text).values == results.values


def test_eight_rounds_of_a_still_smaller_size(small_text: str) -> None:
    _, many = studies(0.04)
    few = replace(many, seeds=(1, 2, 3), train={**many.train, "steps": 2, "batch_size": 1})
    finding = many.conclude(run(few, small_text))
    assert finding.figures["rounds"] == 8
    assert finding.came_out is True


def test_settings_of_the_arms_differ() -> None:
    """So that the lab does not refuse them: what is the same is all but the seed."""
    for study in EXPERIMENT.studies(1.0):
        first, second, *_ = study.cells()
        one, other = (study.setting(cell, 69, "text") for cell in (first, second))
        assert one.options != other.options
        assert (one.config, one.train, one.parts) == (other.config, other.train, other.parts)


@pytest.mark.slow
def test_of_200_comparisons_3_to_17_are_false() -> None:
    once, many = studies(1.0)
    assert once.conclude(run(once, DEFAULT_TEXT)).came_out is True
    finding = many.conclude(run(many, DEFAULT_TEXT))
    assert 3 <= finding.figures["false_differences"] <= 17
