"""The pages tell what experiments have shown: the places for it name studies that there are."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from groundup.base.files import write_json
from groundup.lab import AT_INITIALISATION, Arm, ExperimentReport, Finding, Prediction, Study
from groundup.lab.experiment import Concluded, Difference, Table
from groundup.lab.registry import built_in
from groundup.report.charts import Chart, Series

DOCS = Path(__file__).parents[1] / "docs"
PAGE = "Before.\n\n<!-- lab: toy/size -->\nold\n<!-- end of lab -->\n\nAfter.\n"


@pytest.fixture
def lab() -> Any:
    spec = importlib.util.spec_from_file_location("lab_figures", DOCS / "figures" / "lab.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report(came_out: bool | None, charts: list[Chart], **told: Any) -> ExperimentReport:
    finding = Finding(verdict="Larger by 2.", came_out=came_out, charts=charts, **told)
    study = Study(
        name="size",
        title="The size",
        kind=AT_INITIALISATION,
        prediction=Prediction(says="It is larger.", source="ours"),
        equal="the seed",
        measured="a size",
        arms=[Arm(name="a"), Arm(name="b")],
        measure=lambda setting: {},
        conclude=lambda results: finding,
    )
    return ExperimentReport(
        name="toy",
        question="Is it?",
        concluded=[Concluded(study, finding)],
        machine="a machine",
        text="a text",
        seconds=1.0,
        command=["groundup", "lab", "toy", "--budget", "60s", "--out", "x"],
        folder=Path("lab/toy"),
    )


@pytest.mark.parametrize(
    ("came_out", "words"),
    [
        (True, "the prediction came out"),
        (False, "the prediction did not come out"),
        (None, "whether the prediction came out cannot be told"),
    ],
)
def test_a_place_is_filled_with_prediction_verdict_and_figure(
    lab: Any, came_out: bool | None, words: str
) -> None:
    points = [(1.0, 2.0), (2.0, 3.0)]
    chart = Chart(title="Size by depth", series=[Series(name="a", points=points)])
    page, figures = lab.fill(PAGE, {"toy": report(came_out, [chart])})
    assert "> **Predicted** (ours): It is larger.\n" in page
    assert f"> **Measured**: {words}. Larger by 2.\n" in page
    assert "`groundup lab toy --budget 60s`, on a machine.\n" in page
    assert "![Size by depth](figures/lab-toy-size.svg)\n" in page
    assert list(figures) == ["lab-toy-size.svg"]
    assert "Size by depth" in figures["lab-toy-size.svg"]
    assert "\nold\n" not in page
    assert page.startswith("Before.\n")
    assert page.endswith("<!-- end of lab -->\n\nAfter.\n")
    assert lab.fill(page, {"toy": report(came_out, [chart])})[0] == page


def test_without_a_chart_there_is_no_figure(lab: Any) -> None:
    page, figures = lab.fill(PAGE, {"toy": report(True, [])})
    assert "Larger by 2." in page
    assert "![" not in page
    assert not figures


def test_what_was_not_run_stays_as_it_is(lab: Any) -> None:
    assert lab.fill(PAGE, {}) == (PAGE, {})
    other = PAGE.replace("toy/size", "toy/weight")
    assert lab.fill(other, {"toy": report(True, [])}) == (other, {})


def test_every_place_names_a_study_that_there_is(lab: Any) -> None:
    places = [
        (path.name, experiment, study)
        for path in sorted(DOCS.glob("*.md"))
        for _, experiment, study, *_ in lab.PLACE.findall(path.read_text("utf-8"))
        if experiment != lab.CLAIMS
    ]
    assert places
    for page, experiment, study in places:
        named = {one.name for one in built_in(experiment).studies(100.0)}
        assert not study or study in named, f"{page}: {experiment}/{study}"


def test_with_table_a_place_has_the_tables_and_the_figure_that_it_asks_for(lab: Any) -> None:
    charts = [
        Chart(title=title, series=[Series(name="a", points=[(1.0, 2.0), (2.0, 3.0)])])
        for title in ("First", "Second")
    ]
    sizes = Table(title="Sizes", head=("arm", "size"), rows=[["a", "1"], ["b", "3"]])
    predicted = Table(title="What was predicted", head=("prediction", "came out"), rows=[])
    made = report(True, charts, tables=[sizes, predicted], notes=["One seed."])
    page, figures = lab.fill(PAGE.replace("toy/size", "toy/size table"), {"toy": made})
    assert "Sizes:\n\n| arm | size |\n| --- | ---: |\n| a | 1 |\n| b | 3 |\n" in page
    assert "\nNote: One seed.\n" in page
    assert "What was predicted" not in page
    assert not figures
    page, figures = lab.fill(PAGE.replace("toy/size", "toy/size table, figure 2"), {"toy": made})
    assert "![Second](figures/lab-toy-size-2.svg)" in page
    assert list(figures) == ["lab-toy-size-2.svg"]


def test_of_an_experiment_a_place_has_command_time_and_machine(lab: Any) -> None:
    page, _ = lab.fill(PAGE.replace("toy/size", "toy"), {"toy": report(True, [])})
    assert "`groundup lab toy --budget 60s`, 0.0 minutes on a machine. Text: a text." in page


def larger(arm: str, metric: str, mean: float, p: float) -> Difference:
    return Difference(
        arm=arm,
        against="a",
        metric=metric,
        mean=mean,
        interval=(mean - 0.1, mean + 0.1),
        p=p,
        adjusted_p=p,
        smallest_seen=0.2,
        n_pairs=5,
    )


FIGURES = {
    "slopes": {"a": {"slope": 0.5, "interval": [0.4, 0.6], "came_out": True}},
    "predictions": {"b is larger": False, "b is red": None},
    "grams": {"a b": 2.5},
}


@pytest.mark.parametrize(
    ("claim", "came_out", "figure"),
    [
        ({}, "came out", ""),
        ({"slope": "a"}, "came out", "slope +0.50 (0.40 to 0.60)"),
        ({"part": "b is larger", "arm": "b"}, "**did not**", "+2.00 size (1.90 to 2.10)"),
        ({"part": "b is red", "figure": "{grams[a b]:.2f} g"}, "undecided", "2.50 g"),
        ({"arm": "b", "expected": "higher"}, "came out", "+2.00 size (1.90 to 2.10)"),
        (
            {"arm": "b", "expected": "no difference"},
            "**did not**",
            "+2.00 size (1.90 to 2.10)",
        ),
        ({"part": "b is larger", "arm": "d"}, "not seen", "+0.10 nats (0.00 to 0.20)"),
        ({"arm": "d", "expected": "higher"}, "not seen", "+0.10 nats (0.00 to 0.20)"),
        ({"arm": "d", "expected": "no difference"}, "came out", "+0.10 nats (0.00 to 0.20)"),
        ({"arm": "b", "within": 2.5}, "came out", "+2.00 size (1.90 to 2.10)"),
        ({"arm": "b", "within": 2.0}, "undecided", "+2.00 size (1.90 to 2.10)"),
        ({"arm": "c", "within": 2.0}, "undecided", "too few runs were left"),
        ({"arm": "c", "expected": "lower"}, "undecided", "too few runs were left"),
        ({"figure": "{not_there:.1f}"}, "came out", ""),
    ],
)
def test_a_claim_has_its_outcome_and_figure(
    lab: Any, claim: dict[str, Any], came_out: str, figure: str
) -> None:
    differences = [larger("b", "size", 2.0, 0.01), larger("d", "val_loss", 0.1, 0.4)]
    made = report(True, [], differences=differences, figures=FIGURES)
    whole = {"says": "B is larger", "by": "A., 2020", "study": "toy/size", **claim}
    table = lab.claims_table([whole], {"toy": made}, "")
    row = f"| B is larger | A., 2020 | {came_out} | {figure} | [toy](#toy) |"
    assert table.splitlines()[2:] == [row]


def test_a_figure_of_one_seed_says_so(lab: Any) -> None:
    one_seed = report(True, [], figures={"grams": 2.5})
    (study, finding), *_ = one_seed.concluded
    one_seed = replace(one_seed, concluded=[Concluded(replace(study, seeds=(1,)), finding)])
    claim = {"says": "B", "by": "A.", "study": "toy/size", "figure": "{grams} g"}
    assert "| 2.5 g, one seed |" in lab.claims_table([claim], {"toy": one_seed}, "")


def test_claims_of_experiments_that_were_not_run_stay(lab: Any) -> None:
    claims = [{"says": f"B is {word}", "by": "A.", "study": "toy/size"} for word in ("one", "two")]
    unknown = lab.claims_table(claims, {}, "")
    assert unknown.count("| not measured yet |") == 2
    known = lab.claims_table(claims, {"toy": report(True, [])}, unknown)
    assert known.count("| came out |") == 2
    assert lab.claims_table(claims, {}, known) == known


def test_every_claim_names_what_there_is(lab: Any) -> None:
    claims = lab.read_claims()
    assert len({claim["says"] for claim in claims}) == len(claims)
    for claim in claims:
        experiment, study = claim["study"].split("/")
        scales = (3.0, 1.0)  # some studies stand only where there is a budget
        named = {one.name: one for x in scales for one in built_in(experiment).studies(x)}
        assert study in named, claim["says"]
        arms = {arm.name for arm in named[study].arms}
        assert {claim[key] for key in ("arm", "slope") if key in claim} <= arms, claim["says"]
        assert claim.get("x", named[study].xs[0]) in named[study].xs, claim["says"]
        assert claim.get("expected", "lower") in ("lower", "higher", "no difference")


def test_a_folder_with_something_left_to_measure_is_refused(lab: Any, tmp_path: Path) -> None:
    write_json(tmp_path / "verdict.json", {"command": ["groundup", "lab", "feed-forward"]})
    write_json(tmp_path / "lab.json", {"format": 1, "experiment": "feed-forward", "scales": {}})
    with pytest.raises(SystemExit, match="25 of 25 figures are missing"):
        lab.read(tmp_path)
    assert not (tmp_path / "results.jsonl").exists()
