"""The parts of a report about a classifier's test: how good, beside what, where and how it errs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from groundup.base.words import counted
from groundup.report.charts import Chart, Series
from groundup.report.figure import chart_figure
from groundup.report.heat_map import HEAT_STYLE, heat_map
from groundup.report.page import Section, bar, cards, esc, figure, fold, table
from groundup.report.records import records_table
from groundup.runs.classification import (
    Bin,
    ClassificationRecord,
    Figures,
    Interval,
    WorstError,
)
from groundup.runs.classification_words import (
    against,
    calibration,
    doubts,
    left_out,
    most_confused,
    percent,
    result,
)

CLASSIFICATION_STYLE = (
    HEAT_STYLE
    + """
.cards + p { margin-top:1rem; }
.beside th:first-child { white-space:normal; overflow-wrap:anywhere; min-width:7rem; }
.mistake { margin:0 0 1.1rem; } .mistake p { margin:0 0 .3rem; max-width:none; }
.mistake .sample { margin:0; font-size:.95rem; }
"""
)
MOST_CLASSES = 40
"""Of a confusion matrix that is shown whole."""
MOST_CONFUSIONS = 20
OPEN_ERRORS = 5


def classification_sections(record: ClassificationRecord) -> list[Section]:
    """Return what there is to say of a classifier's test."""
    return [
        Section("test", "Test", _outcome(record)),
        Section("classes", "Classes", _classes(record.test)),
        Section("confusion", "Confusion", _confusion(record.test)),
        Section("calibration", "Calibration", _calibration(record)),
        Section("errors", "Errors", _errors(record)),
        Section("records", "Records", records_table(record, left_out(record), "classifier")),
    ]


def _outcome(record: ClassificationRecord) -> str:
    """Return the figures in words, beside those of simpler means, and what puts them in doubt."""
    compared = "".join(f"<p>{esc(against(b, record))}</p>" for b in record.baselines.values())
    alerts = "".join(f'<p class="alert">{esc(doubt)}</p>' for doubt in doubts(record))
    test = record.test
    facts = cards(
        [
            ("Accuracy", percent(test.accuracy, test), _ends(test.accuracy_interval, 100, "%")),
            ("Macro F1", f"{test.macro_f1:.3f}", _ends(test.macro_f1_interval)),
            ("Log loss", figure(test.log_loss), f"nats; guessing is {_guessing(test):.4g}"),
            ("Calibration error", f"{test.ece:.3f}", _ends(test.ece_interval)),
        ]
    )
    return f'<p class="verdict">{esc(result(record))}</p>{facts}{compared}{alerts}{_beside(record)}'


def _guessing(test: Figures) -> float:
    return math.log(len(test.classes))


def _ends(interval: Interval, scale: float = 1, unit: str = "") -> str:
    digits = 1 if unit else 3
    low, high = (f"{scale * end:.{digits}f}{unit}" for end in interval)
    return f"{low} to {high}"


def _beside(record: ClassificationRecord) -> str:
    """Return the figures of the classifier and of each baseline in one table."""
    found = [("this classifier", "", record.test)]
    found += [(b.title, b.settings, b.figures) for b in record.baselines.values() if b.figures]
    rows = [
        [
            esc(title) + (f"<br><small>{esc(settings)}</small>" if settings else ""),
            f"{percent(f.accuracy, f)}<br><small>{_ends(f.accuracy_interval, 100, '%')}</small>",
            f"{f.macro_f1:.3f}<br><small>{_ends(f.macro_f1_interval)}</small>",
            figure(f.log_loss),
            f"{f.ece:.3f}",
        ]
        for title, settings, f in found
    ]
    head = ["", "accuracy", "macro F1", "log loss", "calibration error"]
    return table(head, rows, "On the same test examples, with 95% intervals", "beside")


def _classes(test: Figures) -> str:
    rows = [
        [
            f"<bdi>{esc(one.label)}</bdi>",
            f"{one.f1:.3f}",
            bar(one.f1),
            f"{one.precision:.3f}",
            f"{one.recall:.3f}",
            f"{one.support:,}",
            f"{one.predicted:,}",
        ]
        for one in test.classes
    ]
    head = ["class", "F1", "", "precision", "recall", "test examples", "taken for it"]
    caption = (
        "Precision: of those taken for the class, how many are. Recall: of those that are, how "
        "many are taken for it. 0 where there are none."
    )
    return table(head, rows, caption, "beside")


def _confusion(test: Figures) -> str:
    """Return the matrix where it can be read, and the most frequent confusions of many classes."""
    names = [one.label for one in test.classes]
    caption = "Test examples by true and predicted class, coloured by their share of the row"
    shown = heat_map(names, test.confusion, caption) if len(names) <= MOST_CLASSES else ""
    wrong = most_confused(test)
    if not wrong:
        return f"{shown}<p>Every test example was put into its class.</p>"
    if len(names) == 2:
        return shown
    rows = [
        [f"<bdi>{esc(truth)}</bdi>", f"<bdi>{esc(taken)}</bdi>", f"{count:,}"]
        for truth, taken, count in wrong[:MOST_CONFUSIONS]
    ]
    left = len(wrong) - len(rows)
    more = f"; {left:,} rarer ones are in classification.json" if left else ""
    most = table(["true", "taken for", "times"], rows, f"The most frequent{more}", "figures")
    return f"{shown}<h3>What is mistaken for what</h3>{most}"


def _calibration(record: ClassificationRecord) -> str:
    """Return the reliability curve with its bins, and the error in words."""
    bins = record.test.bins
    lowest = math.floor(10 * bins[0].low) / 10
    series = [
        Series(
            name="this classifier",
            points=[(one.confidence, one.accuracy) for one in bins],
            spread=[one.accuracy_interval for one in bins],
            dots=True,
        ),
        Series(
            name="perfectly calibrated",
            points=[(lowest, lowest), (1.0, 1.0)],
            colour=5,
            dash=1,
            reference=True,
        ),
    ]
    chart = Chart(
        title="Reliability",
        series=series,
        x_label="mean confidence of a bin",
        y_label="share that is right",
        remark="Below the line: surer than it is right.",
    )
    return (
        f'<p>{esc(calibration(record))}</p><div class="pair"><div>{chart_figure(chart)}</div>'
        f"<div>{_bins(bins)}</div></div>"
    )


def _bins(bins: Sequence[Bin]) -> str:
    most = max(one.count for one in bins)
    rows = [
        [
            f"{one.low:.2f} to {one.high:.2f}",
            bar(one.count / most),
            f"{one.count:,}",
            f"{one.confidence:.3f}",
            f"{one.accuracy:.3f}",
        ]
        for one in bins
    ]
    head = ["confidence", "", "predictions", "mean confidence", "right"]
    return table(head, rows, "15 bins of equal width, but for empty ones")


def _errors(record: ClassificationRecord) -> str:
    """Return the worst errors, the first in full view and the others folded away."""
    if not record.errors:
        return '<p class="none">No test example was put into a wrong class.</p>'
    wrong = sum(count for _, _, count in most_confused(record.test))
    which = f"The worst {len(record.errors):,} of " if len(record.errors) < wrong else ""
    said = (
        f"<p>{which}{counted(wrong, 'error')}, the highest loss first: where the classifier was "
        "surest and wrong. Some may be mistakes in the labels.</p>"
    )
    shown = "".join(map(_error, record.errors[:OPEN_ERRORS]))
    rest = record.errors[OPEN_ERRORS:]
    return said + shown + (fold(f"{len(rest):,} more", "".join(map(_error, rest))) if rest else "")


def _error(error: WorstError) -> str:
    more = f" <small>{counted(error.left_out, 'more character')}</small>" if error.left_out else ""
    return (
        f'<div class="mistake"><p>Taken for <b><bdi>{esc(error.prediction)}</bdi></b> '
        f"({error.probability:.3f}), is <b><bdi>{esc(error.truth)}</bdi></b> "
        f"({figure(error.truth_probability)}). <small>{esc(error.where)}</small></p>"
        f'<div class="sample" dir="auto"><bdi>{esc(error.text)}</bdi></div>{more}</div>'
    )
