from __future__ import annotations

import pytest

from groundup.lab.measures.curve import loss_at

CURVE = [5 - i / 100 for i in range(100)]
RUN = {"curve_steps": list(range(10, 1001, 10)), "curve": CURVE}


def test_the_mean_of_the_last_tenth_so_far() -> None:
    assert loss_at(RUN, 1.0) == pytest.approx(sum(CURVE[-10:]) / 10)
    assert loss_at(RUN, 0.5) == pytest.approx(sum(CURVE[45:50]) / 5)


def test_the_nearest_point_where_the_curve_has_none() -> None:
    assert loss_at(RUN, 0.004) == 5
