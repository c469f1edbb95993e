"""The calibration error is that of its definition; chance is told from more than chance."""

from __future__ import annotations

import numpy as np
import pytest

from groundup.evaluate.calibration import BINS, Calibration


def plain_ece(confidence: list[float], right: list[bool]) -> float:
    """By the words of Guo et al. (2017): bins ((m - 1) / M, m / M]."""
    total = 0.0
    for m in range(1, BINS + 1):
        inside = [i for i, c in enumerate(confidence) if (m - 1) / BINS < c <= m / BINS]
        if inside:
            accuracy = sum(right[i] for i in inside) / len(inside)
            mean = sum(confidence[i] for i in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(accuracy - mean)
    return total


def drawn(n: int, off: float, seed: int) -> Calibration:
    """Confidences that are too high by `off`."""
    rng = np.random.default_rng(seed)
    confidence = 0.5 + 0.5 * rng.beta(4, 1, n)
    return Calibration(confidence, rng.random(n) < confidence - off)


def test_the_error_is_that_of_its_definition() -> None:
    rng = np.random.default_rng(1)
    confidence, right = rng.uniform(0.05, 1, 300), rng.random(300) < 0.6
    confidence[:3] = 1.0, 0.2, 0.6  # on edges
    found = Calibration(confidence, right)
    assert found.ece == pytest.approx(plain_ece(confidence.tolist(), right.tolist()), abs=1e-12)


def test_the_bins_hold_every_prediction_once() -> None:
    found = drawn(300, 0.0, 2)
    bins = found.bins()
    assert sum(one.count for one in bins) == 300
    assert all(one.low < one.confidence <= one.high for one in bins)
    ece = sum(one.count * abs(one.accuracy - one.confidence) for one in bins) / 300
    assert ece == pytest.approx(found.ece)
    assert all(one.accuracy_interval[0] <= one.accuracy <= one.accuracy_interval[1] for one in bins)


def test_of_a_calibrated_model_5_in_100_tests_show_more_than_chance() -> None:
    found = [drawn(200, 0.0, seed) for seed in range(60)]
    guilty = [one.ece > one.by_chance for one in found]
    assert sum(guilty) <= 8  # more in 1 of 200 such tests
    for one, is_guilty in zip(found, guilty, strict=True):
        assert is_guilty or one.interval[0] == 0
    off = [drawn(600, 0.15, seed) for seed in range(5)]
    assert all(one.ece > one.by_chance for one in off)
    assert all(one.interval[0] > 0 for one in off)


def test_the_interval_holds_the_true_error() -> None:
    true = 0.05  # each bin is too sure by as much
    intervals = [drawn(500, true, seed).interval for seed in range(40)]
    assert sum(low <= true <= high for low, high in intervals) >= 34
