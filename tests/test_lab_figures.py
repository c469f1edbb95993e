"""The pages tell what experiments have shown: the places for it name studies that there are."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from groundup.lab import AT_INITIALISATION, Arm, ExperimentReport, Finding, Prediction, Study
from groundup.lab.experiment import Concluded
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


def report(came_out: bool | None, charts: list[Chart]) -> ExperimentReport:
    finding = Finding(verdict="Larger by 2.", came_out=came_out, charts=charts)
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
        for _, experiment, study, _ in lab.PLACE.findall(path.read_text("utf-8"))
    ]
    assert places
    for page, experiment, study in places:
        named = {one.name for one in built_in(experiment).studies(100.0)}
        assert study in named, f"{page}: {experiment}/{study}"
