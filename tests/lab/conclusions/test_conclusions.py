"""What is concluded from results, and in which words."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from scipy import stats

from groundup.base.errors import UsageError
from groundup.lab.conclusions import HIGHER, LOWER, NO_DIFFERENCE, differences, slopes, sweep
from groundup.lab.experiment import AT_INITIALISATION, Results
from groundup.report.charts import AnyChart, Chart, IntervalChart
from groundup.report.drawing import drawing
from tests.lab.results import made_up

LOST = math.inf
BASE = [2.50, 2.52, 2.48, 2.51, 2.53]
LIKE = [2.497, 2.523, 2.470, 2.506, 2.539]
LOWER_BY_A_TENTH = [2.405, 2.421, 2.376, 2.41, 2.432]


def test_a_difference_that_is_seen_is_said_with_its_interval() -> None:
    finding = differences(made_up({"a": BASE, "b": LOWER_BY_A_TENTH}), "val_loss", "a")
    (found,) = finding.differences
    expected = stats.ttest_rel(LOWER_BY_A_TENTH, BASE)
    assert found.p == found.adjusted_p == pytest.approx(expected.pvalue)
    assert finding.verdict == (
        "Validation loss is lower (better) with b than with a: -0.0992 nats "
        "(95% interval -0.1033 to -0.0951, 5 pairs)."
    )
    assert expected.confidence_interval() == pytest.approx((-0.1033, -0.0951), abs=5e-5)
    assert finding.came_out is None
    assert finding.notes == []


def test_no_difference_seen_says_which_would_have_been() -> None:
    finding = differences(made_up({"a": BASE, "b": LIKE}), "val_loss", "a")
    assert finding.verdict == (
        "No difference seen between b and a in validation loss: -0.0010 nats "
        "(95% interval -0.0100 to 0.0080, 5 pairs); "
        "this would have shown differences of 0.012 nats or more 8 times in 10."
    )


def test_several_arms_are_summed_up_in_one_sentence() -> None:
    results = made_up({"a": BASE, "b": LOWER_BY_A_TENTH, "c": LIKE, "d": [LOST] * 4 + [2.5]})
    finding = differences(results, "val_loss", "a")
    assert finding.verdict == (
        "Validation loss against a: lower (better) for b (-0.0992 nats); no difference seen for c "
        "(this would have shown differences of 0.015 nats or more 8 times in 10); "
        "cannot be told for d (lost in 4 of 5 seeds)."
    )
    assert [d.arm for d in finding.differences] == ["b", "c"]
    assert [row[0] for row in finding.tables[0].rows] == ["a", "b", "c", "d"]


def test_lost_runs_go_into_no_mean_and_their_pairs_are_left_out() -> None:
    lost: list[Any] = [2.405, LOST, 2.376, 2.41, None]
    finding = differences(made_up({"a": BASE, "b": lost}), "val_loss", "a")
    (found,) = finding.differences
    kept = [0, 2, 3]
    expected = stats.ttest_rel([lost[i] for i in kept], [BASE[i] for i in kept])
    assert found.n_pairs == 3
    assert found.p == pytest.approx(expected.pvalue)
    assert finding.notes == ["b: lost in 2 of 5 seeds; the pairs without a loss are compared."]
    assert finding.tables[0].rows[1][-1] == "3 of 5"


@pytest.mark.parametrize(
    ("ours", "theirs", "why"),
    [
        ([LOST] * 5, BASE, "lost in 5 of 5 seeds"),
        (BASE, [LOST] * 4 + [2.5], "a lost in 4 of 5 seeds"),
        ([LOST] * 3 + [2.5] * 2, [2.5, 2.5, 2.5, LOST, 2.5], "lost in 3 of 5 seeds and a lost in "),
        ([2.5], [2.4], "one seed makes one pair, and two are the least"),
    ],
)
def test_what_cannot_be_told(ours: list[float], theirs: list[float], why: str) -> None:
    finding = differences(
        made_up({"a": theirs, "b": ours}), "val_loss", "a", expected={"b": NO_DIFFERENCE}
    )
    opening = "Whether b and a differ in validation loss cannot be told: "
    assert finding.verdict.startswith(opening + why)
    assert finding.came_out is None
    assert finding.differences == []
    assert "inf" not in str(finding.tables) + str(finding.notes)


def test_equal_pairs_and_pairs_that_differ_by_the_same() -> None:
    finding = differences(made_up({"a": BASE, "b": BASE}), "val_loss", "a")
    assert finding.verdict.endswith(
        "0.000 nats (95% interval 0.000 to 0.000, 5 pairs); equal in every pair."
    )
    finding = differences(made_up({"a": [1.0, 2.0], "b": [1.5, 2.5]}), "val_loss", "a")
    assert "higher (worse)" in finding.verdict
    assert "The seed changes nothing here" in finding.notes[0]


def test_where_interval_and_correction_disagree_a_note_says_so() -> None:
    barely = [2.49, 2.50, 2.479, 2.495, 2.51]
    assert 0.02 < stats.ttest_rel(barely, BASE).pvalue < 0.05
    results = made_up({"a": BASE, "b": barely, "c": LIKE, "d": LIKE})
    finding = differences(results, "val_loss", "a")
    assert "no difference seen for b, c and d" in finding.verdict
    assert finding.notes[0].startswith("b: the interval leaves out 0, but of 3 differences")


@pytest.mark.parametrize(
    ("expected", "came_out"),
    [
        ({"b": LOWER}, True),
        ({"b": LOWER, "c": NO_DIFFERENCE}, True),
        ({"b": LOWER, "c": LOWER}, None),
        ({"b": NO_DIFFERENCE}, False),
        ({"b": LOWER, "d": LOWER}, None),
        ({"c": LOWER, "d": LOWER}, None),
    ],
)
def test_a_prediction_comes_out_or_not(expected: dict[str, str], came_out: bool | None) -> None:
    arms = {"a": BASE, "b": LOWER_BY_A_TENTH, "c": LIKE, "d": [LOST] * 5}
    assert differences(made_up(arms), "val_loss", "a", expected=expected).came_out is came_out


def test_a_verdict_names_what_was_predicted_otherwise() -> None:
    results = made_up({"a": BASE, "b": LOWER_BY_A_TENTH, "c": LIKE})
    expected = {"b": HIGHER, "c": NO_DIFFERENCE}
    finding = differences(results, "val_loss", "a", expected=expected)
    assert finding.verdict == f"{finding.answer} Predicted, but not so: higher for b."
    assert finding.answer == differences(results, "val_loss", "a").verdict
    assert finding.tables[-1].rows == [["higher for b", "no"], ["no difference for c", "yes"]]


def test_what_is_neither_better_nor_worse_and_values_of_x() -> None:
    results = made_up(
        {"a": {4.0: BASE, 8.0: BASE}, "b": {4.0: LIKE, 8.0: LOWER_BY_A_TENTH}},
        metric="mean_cosine",
        x_name="depth",
        kind=AT_INITIALISATION,
    )
    finding = differences(results, "mean_cosine", "a")
    assert finding.verdict == (
        "Mean cosine against a: lower for b at depth 8 (-0.0992); no difference seen for b at "
        "depth 4 (this would have shown differences of 0.015 or more 8 times in 10)."
    )
    assert [d.x for d in finding.differences] == [4, 8]


@pytest.mark.parametrize(
    ("metric", "against", "message"),
    [
        ("val_los", "a", "'val_los' is no number that made-up measures; did you mean 'val_loss'?"),
        ("val_loss", "A1", "'A1' is no arm of made-up; did you mean 'a'?"),
    ],
)
def test_what_does_not_exist_is_refused(metric: str, against: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        differences(made_up({"a": BASE, "b": LIKE}), metric, against)
    assert str(caught.value) == message


def curves(chart: AnyChart) -> Chart:
    assert isinstance(chart, Chart)
    return chart


def test_differences_are_drawn_beside_zero_and_what_cannot_be_told_is_named() -> None:
    arms = {"a": BASE, "b": LOWER_BY_A_TENTH, "c": LIKE, "d": [LOST] * 5}
    (chart,) = differences(made_up(arms), "val_loss", "a").charts
    assert isinstance(chart, IntervalChart)
    assert [(row.name, row.seen) for row in chart.rows] == [("b", True), ("c", False), ("d", None)]
    assert chart.rows[2].remark == "lost in 5 of 5 seeds"
    assert chart.x_label == "validation loss, nats (left is better)"


def trained(train_loss: float, curve: list[float] | None = None) -> dict[str, Any]:
    lost = not math.isfinite(train_loss)
    return {
        "train_loss": train_loss,
        "trains": train_loss < 3.2,
        "lost": lost,
        "unigram_entropy": 3.31,
        "curve": curve or [3.5, train_loss],
        "curve_steps": [1, 11],
    }


def test_loss_curves_are_means_over_the_seeds_that_were_not_lost() -> None:
    runs = {"a": [trained(2.5), trained(2.7), trained(LOST, [3.6, 9.0])], "b": [trained(LOST)] * 3}
    (chart,) = differences(made_up(runs), "train_loss", "a").charts
    curve, entropy = curves(chart).series
    assert (curve.name, curve.points) == ("a (2 of 3 seeds)", [(1.0, 3.5), (11.0, 2.6)])
    assert entropy.reference
    assert entropy.points == [(0.0, 3.31)]


def power(exponent: float, noise: list[float]) -> dict[float, list[float]]:
    return {x: [3 * x ** (exponent + e) for e in noise] for x in (8.0, 16.0, 48.0)}


def test_slopes_of_power_laws() -> None:
    noise = [-0.02, 0.0, 0.02, 0.01, -0.01]
    results = made_up(
        {"before": power(-0.5, noise), "after": power(0.3, noise), "other": power(1.0, noise)},
        metric="gradient_norm",
        x_name="depth",
    )
    expected = {"before": (-0.6, -0.4), "after": (-0.2, 0.2)}
    finding = slopes(results, "gradient_norm", expected, "gradient norm")
    assert finding.verdict == (
        "Slope of log gradient norm over log depth: "
        "before -0.50, as predicted; after +0.30, predicted -0.2 to 0.2; "
        "other +1.00."
    )
    assert finding.came_out is False
    assert finding.tables[0].rows[1] == [
        "after",
        "+0.30",
        "0.280 to 0.320",
        "-0.2 to 0.2",
        "no",
        "5",
    ]
    assert slopes(results, "gradient_norm", {"before": (-0.6, -0.4)}).came_out is True
    one = made_up({"flat": power(-0.001, noise)}, metric="gradient_norm", x_name="depth")
    assert slopes(one, "gradient_norm", {}).verdict == (
        "Slope of log gradient norm over log depth: flat 0.00 (95% interval -0.021 to 0.019)."
    )
    assert finding.figures["slopes"]["before"]["slope"] == pytest.approx(-0.5)
    chart = curves(finding.charts[0])
    assert chart.x_log
    geometric = math.exp(sum(math.log(3 * 8 ** (-0.5 + e)) for e in noise) / 5)
    assert chart.series[0].points[0][1] == pytest.approx(geometric)


def test_zeros_have_no_logarithm_and_are_told() -> None:
    values = {
        "a": {4.0: [1.0, 2.0], 8.0: [0.5, 1.0], 16.0: [0.0, 0.5]},
        "b": {4.0: [0.0, 0.0], 8.0: [0.0, LOST], 16.0: [0.0, 0.0]},
    }
    finding = slopes(made_up(values, metric="norm", x_name="depth"), "norm", {"b": (0, 1)})
    assert finding.figures["slopes"]["a"]["slope"] == pytest.approx(-1)
    assert "b cannot be told" in finding.verdict
    assert finding.came_out is None
    assert finding.notes[0] == "a: 1 value that are zero or not finite are left out."
    json.dumps(finding.figures, allow_nan=False)


def swept(**arms: list[float]) -> Results:
    rates = (1e-4, 1e-3, 1e-2, 1e-1)
    values = {
        name: {x: [trained(loss)] for x, loss in zip(rates, losses, strict=True)}
        for name, losses in arms.items()
    }
    return made_up(values, x_name="learning rate")


def test_a_sweep_tells_the_largest_value_that_trains() -> None:
    results = swept(
        a=[3.0, 2.6, 2.5, LOST], b=[3.0, 3.3, 3.1, 3.3], c=[3.1, 3.0, 2.9, 2.8], d=[LOST] * 4
    )
    finding = sweep(results)
    assert finding.verdict == (
        "Largest learning rate that trains: a 0.01, b 0.01, c 0.1 (the largest tried) and d none "
        "of those tried."
    )
    best = [tuple(row[i] for i in (0, 2, 3)) for row in finding.tables[0].rows]
    assert best[:3] == [("a", "2.500", "0.01"), ("b", "3.000", "0.0001"), ("c", "2.800", "0.1")]
    assert finding.figures["largest_that_trains"] == {"a": 0.01, "b": 0.01, "c": 0.1, "d": None}
    assert finding.notes[:2] == [
        "b does not train at every smaller learning rate: it fails at 0.001.",
        "Runs that were lost are not drawn: a at 0.1 and d at 0.0001, 0.001, 0.01, 0.1.",
    ]
    chart = curves(finding.charts[0])
    assert chart.series[-1].reference
    assert chart.x_log
    assert chart.remark == "It trains if it ends 0.1 nats below the unigram entropy."
    json.dumps(finding.figures, allow_nan=False)


def test_of_several_seeds_all_must_train() -> None:
    values = {"a": {1.0: [trained(2.5)] * 3, 4.0: [trained(2.5), trained(3.3), trained(LOST)]}}
    finding = sweep(made_up(values, x_name="depth"))
    assert finding.figures["largest_that_trains"] == {"a": 1.0}
    assert finding.tables[0].rows[0][-1] == "4 (1 of 3 seeds)"


@pytest.mark.parametrize("odd", [1e300, -1e308, 5e-324, 1e-310, LOST, math.nan])
def test_numbers_of_no_size_are_concluded_and_drawn(odd: float) -> None:
    arms = {"a": {1.0: BASE, 2.0: [odd, *BASE[1:]]}, "b": {1.0: [odd] * 5, 2.0: BASE}}
    results = made_up(arms, x_name="depth")
    for finding in (differences(results, "val_loss", "a"), slopes(results, "val_loss", {})):
        for chart in finding.charts:
            assert drawing(chart).endswith("</svg>\n")
        for one in finding.differences:
            assert math.isfinite(one.mean)
            assert all(map(math.isfinite, one.interval))


def test_slopes_of_few_seeds_that_are_far_apart_are_drawn() -> None:
    results = made_up({"a": {1.0: [1e-90, 1e90], 2.0: [1.0, 2.0]}}, x_name="depth")
    assert drawing(slopes(results, "val_loss", {}).charts[0]).endswith("</svg>\n")


@pytest.mark.parametrize("xs", [(0.0, 1.0), (-1.0, 2.0), (3.0,)])
def test_slopes_over_what_has_no_logarithm_are_refused(xs: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="needs two or more, all above zero"):
        slopes(made_up({"a": dict.fromkeys(xs, BASE)}, x_name="depth"), "val_loss", {})
