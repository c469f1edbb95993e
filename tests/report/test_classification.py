"""The report of a classifier shows its test, safely, with two classes and with many."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from groundup.report import write_report
from groundup.report.classification import MOST_CLASSES, classification_sections
from groundup.report.heat_map import STRONGEST, heat_map
from groundup.report.style import DARK, LIGHT
from groundup.runs.classification import ClassFigures, write_classification
from groundup.runs.folder import RunFolder
from tests.report.test_report import HOSTILE, Outline, assert_only_text, read
from tests.report.test_style import contrast, rgb
from tests.runs.classified import TEXT, baseline, figures, record

MakeRun = Callable[..., Path]


def classified(run: Path, **changes: object) -> tuple[str, Outline]:
    write_classification(RunFolder(run).classification, record(**changes))
    return read(run)


def test_a_classifier_shows_all_that_was_found(make_run: MakeRun) -> None:
    page, outline = classified(make_run())
    for words in (
        "Accuracy 96.0% (90.2% to 98.4%), macro F1 0.898",
        "No difference in accuracy seen: TF-IDF with logistic regression reaches 93.0%",
        "nats; guessing is 0.6931",
        TEXT,
        "sms.csv, record 17",
        "328 duplicates",
        "3.1% of the positions computed",
        "by hash of the text",
    ):
        assert words in outline.text, words
    assert page.count("<figure") == 5
    assert outline.headings[0] == 1
    assert max(outline.headings) == 3


def test_another_run_has_none_of_it(make_run: MakeRun) -> None:
    page, _ = read(make_run())
    assert "Confusion" not in page
    assert ".heat" not in page


def test_a_damaged_file_is_told_and_the_rest_is_there(make_run: MakeRun) -> None:
    run = make_run()
    RunFolder(run).classification.write_text("{")
    page, outline = read(run)
    assert "expected JSON" in outline.text
    assert "Key figures" in outline.text
    assert page.count("<figure") == 4


def test_hostile_labels_and_texts_stay_text(make_run: MakeRun) -> None:
    one = ClassFigures(label=HOSTILE, support=3, predicted=1, precision=1.0, recall=0.3, f1=0.5)
    error = replace(record().errors[0], text=HOSTILE, where=HOSTILE, truth=HOSTILE)
    page, outline = classified(
        make_run(),
        test=figures(classes=(one, replace(one, label=HOSTILE * 9))),
        errors=(error,),
        baselines={HOSTILE: replace(baseline(1, 2, 0.5), title=HOSTILE, settings=HOSTILE)},
        left_out={HOSTILE: 4},
        split=HOSTILE,
        chosen_by=HOSTILE,
    )
    assert_only_text(page)
    assert outline.count("script") == outline.count("img") == 0


def cells(shown: str) -> list[tuple[str, str]]:
    return re.findall(r'<td class="(\w+)"[^>]*>([\d,]+)</td>', shown)


def test_a_heat_map_has_every_count_in_its_place() -> None:
    shown = heat_map(["a", "b"], [[1200, 0], [3, 9]], "x")
    assert cells(shown) == [("same", "1,200"), ("zero", "0"), ("other", "3"), ("same", "9")]
    assert re.findall(r"--share:([\d.]+)", shown) == ["1.000", "0.500", "0.750"]
    assert "upright" not in shown
    assert heat_map(["x" * 90] * 7, [[1] * 7] * 7, "x").count('"upright"') == 7


def mixed(colour: str, ground: str) -> list[float]:
    share = STRONGEST / 100
    return [share * c + (1 - share) * g for c, g in zip(rgb(colour), rgb(ground), strict=True)]


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_numbers_are_read_on_a_full_cell(scheme: dict[str, str]) -> None:
    for hue in ("c0", "c1"):
        full = mixed(scheme[hue], scheme["ground"])
        assert contrast(rgb(scheme["ink"]), full) >= 4.5
        assert contrast(full, rgb(scheme["ground"])) >= 1.5


def many(k: int) -> dict[str, object]:
    one = ClassFigures(label="", support=10, predicted=10, precision=0.5, recall=0.5, f1=0.5)
    classes = tuple(replace(one, label=f"class {i}") for i in range(k))
    wrong = [[5 * (i == j) + (j == (i + 1) % k) for j in range(k)] for i in range(k)]
    return {"test": figures(classes=classes, confusion=tuple(map(tuple, wrong)))}


@pytest.mark.parametrize(("k", "whole"), [(20, True), (MOST_CLASSES + 1, False)])
def test_of_many_classes_the_most_frequent_confusions_are_listed(k: int, whole: bool) -> None:
    body = {s.anchor: s.body for s in classification_sections(record(**many(k)))}["confusion"]
    assert ("heat" in body) == whole
    assert "What is mistaken for what" in body
    left = k - 20
    assert (f"{left} rarer ones" in body) == (left > 0)


def test_without_errors_that_is_said(make_run: MakeRun) -> None:
    test = figures(confusion=((88, 0), (0, 12)), accuracy=1.0)
    _, outline = classified(make_run(), test=test, errors=())
    assert "Every test example was put into its class." in outline.text
    assert "No test example was put into a wrong class." in outline.text


def test_errors_beyond_the_first_are_folded_away() -> None:
    errors = record().errors * 12
    body = {s.anchor: s.body for s in classification_sections(record(errors=errors))}["errors"]
    assert "<summary>7 more</summary>" in body


def test_a_report_is_written_where_it_belongs(make_run: MakeRun) -> None:
    run = make_run()
    write_classification(RunFolder(run).classification, record())
    assert write_report(run) == RunFolder(run).report
