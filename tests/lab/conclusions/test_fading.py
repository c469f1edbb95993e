"""Fading gradients and equal tokens, from made-up figures."""

from __future__ import annotations

import math

import pytest

from groundup.lab.conclusions.fading import conclude_cosine, conclude_gradients
from groundup.lab.experiment import Arm, Finding
from groundup.report.charts import Chart
from tests.lab.results import made_up

LASTING = (0.9, math.inf)


def concluded(
    factors: dict[str, list[float]], weights: float = 1.0, **expected: tuple[float, float]
) -> Finding:
    """A finding from arms whose blocks leave such parts of a gradient, one a seed."""
    arms = [
        Arm(name=name, options={"shortcuts": False, "norms": name == "normed", "start": "Xavier"})
        for name in factors
    ]
    cells = {
        name: [
            {
                "entering_gradients": [factor ** (3 - i) for i in range(4)],
                "weight_gradients": [weights ** (3 - i) for i in range(4)],
            }
            for factor in of_seeds
        ]
        for name, of_seeds in factors.items()
    }
    return conclude_gradients(made_up(cells, arms=arms), {"normed": LASTING, **expected})


def test_the_factor_a_block_is_the_geometric_mean_over_seeds():
    finding = concluded({"normed": [1.0, 1.0], "bare": [0.2, 0.8]}, bare=(0.3, 0.5))
    assert finding.figures["bare"]["factor_a_block"] == pytest.approx(0.4)
    assert finding.figures["normed"]["factor_a_block"] == pytest.approx(1)
    assert finding.came_out


@pytest.mark.parametrize(
    ("normed", "bare", "judged"),
    [
        ([1.0, 1.01], [0.4, 0.41], "holds only where there are no norms either"),
        ([0.5, 0.51], [0.4, 0.41], "holds, with norms and without"),
        ([0.5, 0.51], [1.0, 1.01], "holds in some arms"),
        ([1.0, 1.01], [1.0, 1.01], "does not hold"),
    ],
)
def test_the_verdict_says_where_the_popular_sentence_holds(normed, bare, judged):
    finding = concluded({"normed": normed, "bare": bare}, bare=(0.3, 0.5))
    assert f'"Without shortcuts the gradient fades" {judged}: ' in finding.verdict
    assert finding.came_out is (judged == "holds only where there are no norms either")


def test_level_gradients_of_weights_are_told_where_what_enters_fades():
    factors = {"normed": [1.0, 1.01], "bare": [0.4, 0.41]}
    level, fading = (concluded(factors, weights, bare=(0.3, 0.5)) for weights in (1.0, 0.5))
    assert any("stay level" in note for note in level.notes)
    assert not any("stay level" in note for note in fading.notes)


def test_zeros_are_told_and_not_drawn():
    arm = Arm(name="bare", options={"shortcuts": False, "norms": False, "start": "ours"})
    rows = [[0.0, 0.01, 0.1, 1.0], [0.0, 0.0, 0.1, 1.0]]
    cells = [{"entering_gradients": row, "weight_gradients": [0.0, 0.0, 0.0, 1.0]} for row in rows]
    finding = conclude_gradients(made_up({"bare": cells}, arms=[arm]), {"bare": (0.05, 0.15)})
    assert finding.figures["bare"] == {
        "factor_a_block": pytest.approx(0.1),
        "interval": pytest.approx([0.1, 0.1]),
        "weights_factor_a_block": None,
        "zeros": 3,
    }
    assert any("3 of 8 gradients are zero" in note for note in finding.notes)
    (chart,) = finding.charts
    assert isinstance(chart, Chart)
    assert chart.series[0].points == [(3.0, pytest.approx(0.1)), (4.0, 1.0)]


def cosines(at_end: float) -> Finding:
    values = {
        "without": {4.0: [0.95, 0.96, 0.94], 8.0: [at_end, at_end + 0.001, at_end]},
        "with": {4.0: [0.30, 0.32, 0.33], 8.0: [0.50, 0.52, 0.55]},
    }
    return conclude_cosine(made_up(values, metric="cosine"), [("without", "with")])


def test_collapse_comes_out_near_1_only():
    assert cosines(0.995).came_out
    assert "at least 0.995 without shortcuts, and 0.52 to 0.52 with them" in cosines(0.995).verdict
    assert not cosines(0.9).came_out
    assert [d.x for d in cosines(0.9).differences] == [4.0, 8.0]
