"""Intervals, tests and corrections, against scipy.stats and by hand."""

from __future__ import annotations

import math
import random

import pytest
from scipy import stats

from groundup.lab.conclusions.statistics import (
    corrected,
    log_slope,
    paired_difference,
    smallest_seen,
    t_interval,
)
from groundup.lab.experiment import Difference


def drawn(count: int, mean: float, seed: int) -> list[float]:
    rng = random.Random(seed)
    return [rng.gauss(mean, 0.3) for _ in range(count)]


@pytest.mark.parametrize("count", [2, 5, 32])
def test_a_paired_difference_is_that_of_scipy(count: int) -> None:
    ours, theirs = drawn(count, 2.4, 1), drawn(count, 2.5, 2)
    found = paired_difference("a", "b", "loss", ours, theirs)
    expected = stats.ttest_rel(ours, theirs)
    interval = expected.confidence_interval(0.95)
    assert found.mean == pytest.approx(math.fsum(ours) / count - math.fsum(theirs) / count)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.interval == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.n_pairs == count


@pytest.mark.parametrize("count", [2, 5, 32, 64])
def test_an_interval_is_that_of_scipy(count: int) -> None:
    values = drawn(count, -0.5, 3)
    mean, low, high = t_interval(values)
    expected = stats.t.interval(0.95, count - 1, loc=mean, scale=stats.sem(values))
    assert (low, high) == pytest.approx(expected, rel=1e-9)


def test_one_value_has_no_interval() -> None:
    with pytest.raises(ValueError, match="two data points"):
        t_interval([1.0])


def test_pairs_that_do_not_vary_are_what_the_test_tends_to() -> None:
    equal = paired_difference("a", "b", "loss", [1.0, 2.0], [1.0, 2.0])
    assert (equal.mean, equal.p, equal.interval, equal.smallest_seen) == (0, 1, (0, 0), 0)
    shifted = paired_difference("a", "b", "loss", [1.5, 2.5], [1.0, 2.0])
    assert (shifted.mean, shifted.p, shifted.interval) == (0.5, 0, (0.5, 0.5))


def with_p(*ps: float) -> list[Difference]:
    two = paired_difference("a", "b", "loss", [1.0, 2.0], [0.0, 3.0])
    return [
        Difference(**{**two.__dict__, "arm": str(i), "p": p, "adjusted_p": p})
        for i, p in enumerate(ps)
    ]


@pytest.mark.parametrize(
    ("ps", "expected"),
    [
        ((0.02,), (0.02,)),
        ((0.04, 0.01, 0.03), (0.06, 0.03, 0.06)),  # 3 x 0.01, 2 x 0.03, and no smaller after it
        ((0.5, 0.4, 0.001), (0.8, 0.8, 0.003)),
        ((0.9, 0.9), (1.0, 1.0)),
        ((0.03, 0.03), (0.06, 0.06)),
        ((), ()),
    ],
)
def test_holm_by_hand(ps: tuple[float, ...], expected: tuple[float, ...]) -> None:
    found = corrected(with_p(*ps))
    assert [d.adjusted_p for d in found] == pytest.approx(expected)
    assert [d.arm for d in found] == [str(i) for i in range(len(ps))]


@pytest.mark.parametrize(("n_pairs", "n_differences"), [(2, 1), (5, 1), (5, 3), (32, 2)])
def test_the_smallest_difference_seen_has_the_power_it_says(
    n_pairs: int, n_differences: int
) -> None:
    """Against the distribution of scipy.stats, which is another implementation."""
    shift = smallest_seen(n_pairs, n_differences)
    critical = stats.t.ppf(1 - 0.025 / n_differences, n_pairs - 1)
    power = stats.nct.sf(critical, n_pairs - 1, shift)
    assert power == pytest.approx(0.8, abs=1e-5)


def test_of_true_differences_of_that_size_8_in_10_are_seen() -> None:
    rng, n_pairs, rounds = random.Random(1), 5, 2000
    true = smallest_seen(n_pairs, 3) * 0.3 / math.sqrt(n_pairs)
    seen = 0
    for _ in range(rounds):
        ours = [rng.gauss(true, 0.3) for _ in range(n_pairs)]
        seen += paired_difference("a", "b", "loss", ours, [0.0] * n_pairs).p < 0.05 / 3
    assert 0.77 < seen / rounds < 0.83  # 3.4 standard errors on either side


def test_where_nothing_differs_one_series_in_20_shows_anything_and_intervals_hold_0() -> None:
    rng, rounds, seen, held = random.Random(2), 1000, 0, 0
    for _ in range(rounds):
        base = [rng.gauss(2.5, 0.1) for _ in range(5)]
        arms = [[rng.gauss(2.5, 0.1) for _ in range(5)] for _ in range(3)]
        found = corrected([paired_difference("a", "b", "loss", arm, base) for arm in arms])
        seen += any(d.seen for d in found)
        held += found[0].interval[0] <= 0 <= found[0].interval[1]
    assert 0.02 < seen / rounds < 0.06  # at most 5%, less as the arms share what they differ from
    assert 0.93 < held / rounds < 0.97


def test_the_correction_makes_the_smallest_difference_larger() -> None:
    alone = paired_difference("a", "b", "loss", drawn(5, 1, 1), drawn(5, 1, 2))
    found = corrected([alone, alone, alone])[0]
    ratio = smallest_seen(5, 3) / smallest_seen(5)
    assert ratio > 1.3
    assert found.smallest_seen == pytest.approx(alone.smallest_seen * ratio)
    assert corrected([alone]) == [alone]


def test_a_power_law_has_its_exponent_as_slope() -> None:
    xs = [8, 16, 32, 48]
    assert log_slope(xs, [3 * x**-0.5 for x in xs]) == pytest.approx(-0.5)
