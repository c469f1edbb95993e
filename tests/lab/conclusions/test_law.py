from __future__ import annotations

import pytest

from groundup.lab.conclusions.law import Law, Point, fit_law

HERE = Law(irreducible=1.3, size=0.25, size_exponent=0.35, data=0.5, data_exponent=0.28)


def test_it_finds_a_law_and_tells_what_it_has_not_seen() -> None:
    points = [
        Point(n, d, HERE.loss(n, d)) for n in (3e3, 1e4, 4e4, 2e5) for d in (1e5, 3e5, 1e6, 3e6)
    ]
    found = fit_law(points)
    assert found == pytest.approx(HERE, rel=0.02)
    assert found.loss(1e6, 1e7) == pytest.approx(HERE.loss(1e6, 1e7), abs=1e-3)


def test_a_loss_by_hand() -> None:
    assert Law(1.0, 2.0, 0.5, 3.0, 1.0).loss(4e5, 2e6) == pytest.approx(1 + 2 / 2 + 3 / 2)


def test_how_the_best_size_grows() -> None:
    assert HERE.best_size_exponent == pytest.approx(0.28 / 0.63)
