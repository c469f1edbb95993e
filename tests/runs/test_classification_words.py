"""What is said of a classifier follows from its figures, whichever way they fall."""

from __future__ import annotations

from dataclasses import replace

import pytest

from groundup.runs.classification import Baseline, ClassFigures
from groundup.runs.classification_words import against, p_value, percent, summary_lines
from tests.runs.classified import baseline, figures, record


def said(heading: str, **changes: object) -> str:
    return " ".join(text for name, text in summary_lines(record(**changes)) if name == heading)


def test_the_summary_says_all_in_its_order() -> None:
    headings = [heading for heading, _ in summary_lines(record())]
    assert headings == [
        "Test", "Baseline", "Baseline", "Classes", "Errors", "Calibration", "Left out",
    ]  # fmt: skip
    assert all(len(heading) < 12 for heading in headings)  # what stands beside a text
    assert said("Test") == (
        "Accuracy 96.0% (90.2% to 98.4%), macro F1 0.898 (0.775 to 0.962) on 100 test examples of "
        "2 classes, at step 300. In brackets: 95% intervals."
    )
    assert said("Classes") == "F1 by class: spam 0.818, ham 0.978."
    assert said("Errors") == "Most often: spam taken for ham 3×, ham taken for spam 1×."
    assert said("Left out") == "328 duplicates; the ends of 17 texts longer than 64 tokens"


@pytest.mark.parametrize(
    ("only_a", "only_b", "p", "words"),
    [
        (20, 3, 0.0005, "The classifier is better: "),
        (3, 20, 0.0005, "The classifier is worse: "),
        (9, 3, 0.146, "No difference in accuracy seen: "),
    ],
)
def test_a_comparison_falls_as_mcnemar_says(only_a: int, only_b: int, p: float, words: str) -> None:
    text = against(baseline(only_a, only_b, p), record())
    assert text.startswith(f"{words}TF-IDF with logistic regression reaches 93.0%")
    assert f"right in {only_a} examples, only TF-IDF with logistic regression in {only_b}" in text
    assert p_value(p) in text


def test_a_baseline_that_could_not_be_had_is_told() -> None:
    missing = Baseline(title="TF-IDF", missing="it needs a package")
    assert against(missing, record()) == "Not compared with TF-IDF: it needs a package"


def test_what_puts_the_figures_in_doubt_is_told() -> None:
    few = ClassFigures(label="rare", support=3, predicted=1, precision=1.0, recall=0.3, f1=0.5)
    none = replace(few, label="absent", support=0, predicted=0)
    test = figures(classes=(few, none))
    text = said("Doubt", test=test, groups=4)
    assert "fewer than 10 test examples, whose figures can be chance: rare (3)." in text
    assert "without a test example, of which nothing is known: absent (0)." in text
    assert "4 groups" in text
    assert "absent" not in said("Classes", test=test)
    assert said("Doubt") == ""


def test_calibration_is_weighed_against_chance() -> None:
    assert "so nothing is seen against its probabilities" in said("Calibration")
    off = said("Calibration", test=figures(ece=0.2))
    assert "off by more than chance explains" in off


def test_without_errors_nothing_is_said_of_them() -> None:
    assert said("Errors", test=figures(confusion=((88, 0), (0, 12)))) == ""


def test_of_many_classes_the_weakest_are_named() -> None:
    classes = tuple(
        ClassFigures(label=f"c{i}", support=50, predicted=50, precision=1, recall=1, f1=i / 10)
        for i in range(9)
    )
    assert said("Classes", test=figures(classes=classes)) == (
        "Lowest F1: c0 0.000, c1 0.100, c2 0.200, c3 0.300, c4 0.400."
    )


def test_shares_have_the_digits_that_examples_can_show() -> None:
    assert percent(0.98765, figures(examples=500)) == "98.8%"
    assert percent(0.98765, figures(examples=5000)) == "98.77%"
    assert (p_value(0.0312), p_value(0.0004)) == ("p = 0.031", "p < 0.001")
