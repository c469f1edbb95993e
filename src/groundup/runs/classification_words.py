"""What the figures of a classifier mean, in sentences: for a report, and for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from groundup.base.errors import shown
from groundup.base.words import counted
from groundup.runs.classification import (
    Baseline,
    ClassFigures,
    ClassificationRecord,
    Figures,
    Interval,
)

SIGNIFICANCE = 0.05
"""A difference whose p-value is below is said to be seen."""
FEW = 10
"""Test examples of a class below which its figures are doubted."""
MOST_NAMED = 5
LONGEST_LABEL = 40

Line = tuple[str, str]
"""A heading of one word or two, and what is said under it."""


def summary_lines(record: ClassificationRecord) -> list[Line]:
    """Return the outcome of a classifier's test for a terminal, the most important first."""
    lines = [
        ("Test", result(record)),
        *(("Baseline", against(base, record)) for base in record.baselines.values()),
        ("Classes", weakest(record.test)),
        ("Errors", confusions(record.test)),
        ("Calibration", calibration(record)),
        ("Left out", left_out(record)),
        *(("Doubt", doubt) for doubt in doubts(record)),
    ]
    return [(heading, text) for heading, text in lines if text]


def result(record: ClassificationRecord) -> str:
    """Return accuracy and macro F1 with their intervals, and of what."""
    test = record.test
    return (
        f"Accuracy {percent(test.accuracy, test)} ({_interval(test.accuracy_interval, test)}), "
        f"macro F1 {test.macro_f1:.3f} ({_plain(test.macro_f1_interval)}) on "
        f"{counted(test.examples, 'test example')} of {len(test.classes)} classes, at step "
        f"{record.step:,}. In brackets: 95% intervals."
    )


def against(baseline: Baseline, record: ClassificationRecord) -> str:
    """Say whether the classifier beats a baseline, whichever way that falls."""
    figures, paired = baseline.figures, baseline.mcnemar
    if figures is None:
        return f"Not compared with {baseline.title}: {baseline.missing or 'no reason was kept'}"
    theirs = (
        f"{baseline.title} reaches {percent(figures.accuracy, figures)} and macro F1 "
        f"{figures.macro_f1:.3f}"
    )
    if paired is None:
        return f"{theirs}."
    if paired.p_value >= SIGNIFICANCE:
        outcome = "No difference in accuracy seen"
    else:
        outcome = f"The classifier is {'better' if paired.only_a > paired.only_b else 'worse'}"
    return (
        f"{outcome}: {theirs}. Only the classifier is right in "
        f"{counted(paired.only_a, 'example')}, only {baseline.title} in {paired.only_b:,} "
        f"(McNemar's exact test, {p_value(paired.p_value)})."
    )


def calibration(record: ClassificationRecord) -> str:
    """Say by how much probabilities are off, and whether chance alone explains it."""
    test = record.test
    seen = (
        "so probabilities are off by more than chance explains"
        if test.ece > test.ece_by_chance
        else "so nothing is seen against its probabilities"
    )
    return (
        f"Expected calibration error {test.ece:.3f} ({_plain(test.ece_interval)}). A perfectly "
        f"calibrated model stays below {test.ece_by_chance:.3f} in 95 of 100 such tests, {seen}."
    )


def weakest(test: Figures) -> str:
    """Return F1 by class: of all where they are few, else of the lowest."""
    order = sorted(range(len(test.classes)), key=lambda i: test.classes[i].f1)
    present = [test.classes[i] for i in order if test.classes[i].support]
    few = len(present) <= MOST_NAMED
    named = ", ".join(f"{_named(one)} {one.f1:.3f}" for one in present[:MOST_NAMED])
    return f"{'F1 by class' if few else 'Lowest F1'}: {named}."


def confusions(test: Figures) -> str:
    """Return the most frequent confusions, "" where every prediction is right."""
    found = most_confused(test)[:MOST_NAMED]
    said = ", ".join(
        f"{shown(truth, LONGEST_LABEL)} taken for {shown(taken, LONGEST_LABEL)} {count:,}×"
        for truth, taken, count in found
    )
    return f"Most often: {said}." if found else ""


def most_confused(test: Figures) -> list[tuple[str, str, int]]:
    """Return (true class, predicted class, count) of all wrong cells, the most frequent first."""
    names = [one.label for one in test.classes]
    wrong = [
        (names[i], names[j], count)
        for i, row in enumerate(test.confusion)
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(wrong, key=lambda cell: -cell[2])


def left_out(record: ClassificationRecord) -> str:
    """Say what was not used or cut, "" where nothing was."""
    parts = [f"{count:,} {reason}" for reason, count in record.left_out.items() if count]
    if record.cut:
        longest = counted(record.context_length, "token")
        parts.append(f"the ends of {counted(record.cut, 'text')} longer than {longest}")
    return "; ".join(parts)


def doubts(record: ClassificationRecord) -> Iterator[str]:
    """Say what keeps the figures from being taken at their word."""
    classes = record.test.classes
    if few := [one for one in classes if 0 < one.support < FEW]:
        yield (
            f"Classes with fewer than {FEW} test examples, whose figures can be chance: "
            f"{_list(few)}."
        )
    if absent := [one for one in classes if not one.support]:
        yield f"Classes without a test example, of which nothing is known: {_list(absent)}."
    if record.groups is not None:
        yield (
            f"The test holds {counted(record.groups, 'group')}. Intervals and p-values treat its "
            "examples as drawn one by one, so that other groups may differ by more than they say."
        )


def percent(share: float, figures: Figures) -> str:
    """Write a share in percent, with the digits that so many examples can show."""
    return f"{100 * share:.{1 if figures.examples < 1000 else 2}f}%"


def p_value(p: float) -> str:
    """Write a p-value with two digits: p = 0.31, p < 0.001."""
    return f"p = {p:.2g}" if p >= 0.001 else "p < 0.001"


def _interval(ends: Interval, figures: Figures) -> str:
    low, high = (percent(end, figures) for end in ends)
    return f"{low} to {high}"


def _plain(ends: Interval) -> str:
    return f"{ends[0]:.3f} to {ends[1]:.3f}"


def _named(one: ClassFigures) -> str:
    return shown(one.label, LONGEST_LABEL)


def _list(classes: list[ClassFigures]) -> str:
    named = ", ".join(f"{_named(one)} ({one.support:,})" for one in classes[:MOST_NAMED])
    more = len(classes) - MOST_NAMED
    return named + (f" and {more:,} more" if more > 0 else "")
