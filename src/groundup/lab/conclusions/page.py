"""An experiment as one page: the verdict first, then study by study what was done and seen."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from groundup.lab.conclusions.facts import arm_words, facts
from groundup.lab.conclusions.words import capital, outcomes, reading
from groundup.lab.experiment import Concluded, ExperimentReport, Finding, Study, Table
from groundup.plan.units import duration
from groundup.report.charts import AnyChart
from groundup.report.figure import chart_figure
from groundup.report.page import Section, esc, fold, page, table

CAME_OUT = {
    True: ("finished", "as predicted"),
    False: ("interrupted", "not as predicted"),
    None: ("", "prediction left open"),
}
"""The badge of a finding: its looks, and what it says."""


def experiment_page(report: ExperimentReport) -> str:
    """Return a whole HTML page that needs nothing from outside, but links the raw figures."""
    charts = _with_own_titles(report.concluded)
    sections = [
        Section(study.name, study.title, _study(study, finding, drawn))
        for (study, finding), drawn in zip(report.concluded, charts, strict=True)
    ]
    sections.append(Section("repeat", "How to repeat it", _repetition(report)))
    return page(f"{report.name} – groundup lab", _header(report), sections)


def _header(report: ExperimentReport) -> str:
    return (
        f"<p><small>groundup lab {esc(report.name)}</small></p>"
        f"<h1>{esc(report.question)}</h1>"
        f'<p class="verdict">{esc(report.verdict)}</p>'
        f"<p>{esc(outcomes(report.concluded))}</p>"
        f"<p><small>{esc(report.machine)}. Text: {esc(report.text)}. "
        f"Measured in {esc(duration(report.seconds))}.</small></p>"
    )


def _badge(finding: Finding) -> str:
    looks, words = CAME_OUT[finding.came_out]
    return f'<span class="badge {looks}">{words}</span>'


def _study(study: Study, finding: Finding, charts: Sequence[AnyChart]) -> str:
    """Return what was predicted before, what was seen, and how it was measured."""
    prediction = study.prediction
    drawn = "".join(map(chart_figure, charts))
    drawn = f'<div class="charts">{drawn}</div>' if drawn else ""
    notes = "".join(f"<li>{esc(note)}</li>" for note in finding.notes)
    return (
        f"<p>Predicted before the first run: {esc(prediction.says)} "
        f"<small>({esc(prediction.source)})</small></p>"
        f'<p class="verdict">{_badge(finding)} {esc(finding.verdict)}</p>'
        f"{''.join(map(_table, finding.tables))}"
        f"{drawn}"
        f"{f'<h3>To be read with care</h3><ul>{notes}</ul>' if notes else ''}"
        f"{_design(study)}"
    )


def _table(shown: Table) -> str:
    head, rows = map(esc, shown.head), ([*map(esc, row)] for row in shown.rows)
    return table([*head], rows, shown.title, "figures")


def _design(study: Study) -> str:
    """Return how the study was made."""
    rows = [[esc(capital(what)), esc(words)] for what, words in facts(study)]
    made = table(["what", "how"], rows, "How it was measured", "words")
    arms = [[esc(arm.name), esc(arm_words(arm))] for arm in study.arms]
    return made + fold("The arms", table(["arm", "what differs"], arms, "The arms", "words"))


def _with_own_titles(concluded: Sequence[Concluded]) -> Iterator[list[AnyChart]]:
    """Yield the charts of each study; those with equal titles get the study's added.

    A chart is found on the page by its title.
    """
    count = Counter(chart.title for _, finding in concluded for chart in finding.charts)
    for study, finding in concluded:
        yield [
            replace(chart, title=f"{chart.title}: {study.title}")
            if count[chart.title] > 1
            else chart
            for chart in finding.charts
        ]


def _repetition(report: ExperimentReport) -> str:
    command = esc(shlex.join(report.command)) or "run_experiment(EXPERIMENT)"
    how = reading([finding for _, finding in report.concluded])
    return (
        f'<pre class="command" tabindex="0"><code>{command}</code></pre>'
        '<p>Raw figures, one row a cell and metric: <a href="results.csv">results.csv</a>. '
        'The verdict for a program: <a href="verdict.json">verdict.json</a>.</p>'
        f"{f'<p>{esc(how)}</p>' if how else ''}"
    )
