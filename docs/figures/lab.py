"""Let the pages in docs tell what experiments have shown: their verdicts, tables and figures.

    groundup lab norm
    python docs/figures/lab.py lab/norm

takes the folders of experiments that are finished, and measures nothing. A page says

    <!-- lab: norm/loss -->
    <!-- end of lab -->

where the study `loss` of the experiment `norm` belongs: between these lines come its prediction,
its verdict and its first figure, which is written to docs/figures. With `norm/loss table` come its
tables instead, with `norm/loss table, figure 2` also its second figure, and with `norm` alone the
command and the machine. Between `<!-- lab: claims -->` and the end come the claims of claims.toml:
those of other experiments stay as they are. Then run `make article`.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.base.files import read_json, write_text
from groundup.lab.conclusions.predicted import PREDICTED_TITLE, as_expected, within
from groundup.lab.conclusions.words import METRICS, number, range_words, reach
from groundup.lab.experiment import Concluded, Difference, ExperimentReport, Table
from groundup.lab.running.budget import parse_budget
from groundup.lab.running.folder import LabFolder
from groundup.lab.running.plan import Plan
from groundup.lab.running.run import run_experiment
from groundup.lab.running.screen import LabScreen
from groundup.report.drawing import drawing

FIGURES = Path(__file__).resolve().parent
DOCS = FIGURES.parent
PLACE = re.compile(
    r"(<!-- lab: ([\w-]+)(?:/([\w-]+))?( table)?(?:, figure (\d))? -->\n)"
    r"(.*?)(<!-- end of lab -->)",
    re.DOTALL,
)
CLAIMS = "claims"
HEAD = ("claim", "by", "here", "measured", "in")
OUTCOMES = {
    True: "the prediction came out",
    False: "the prediction did not come out",
    None: "whether the prediction came out cannot be told",
}
ANSWERS = {True: "came out", False: "**did not**", None: "undecided"}
NOT_SEEN = "not seen"
"""Of a difference that was predicted, where none is seen: smaller ones may be there."""


class _Measured(LabScreen):
    """Refuses an experiment of which anything is left to measure."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def predicted(self, plan: Plan) -> None:
        """Refuse it: the scale of its budget is not known any more."""
        self.planned(plan)
        sys.exit(f"{self.folder}: measured with another code or machine; measure it anew")

    def planned(self, plan: Plan) -> None:
        """Refuse it where a figure of the plan is not there."""
        known = LabFolder(self.folder, plan.work.source.experiment.name).read()
        if missing := sum(task.key not in known for task in plan.tasks):
            sys.exit(
                f"{self.folder}: {missing:,} of {len(plan.tasks):,} figures are missing, or were "
                "measured with other code or on another machine; run `groundup lab` first"
            )


def read(folder: Path) -> ExperimentReport:
    """Return what a finished experiment has shown; what is not measured ends the program."""
    words: Sequence[str] = read_json(folder / "verdict.json")["command"]
    given = dict(zip(words[3::2], words[4::2], strict=True))
    budget = given.get("--budget")
    return run_experiment(
        words[2],
        budget=None if budget is None else parse_budget(budget),
        text=given.get("--text", "shakespeare"),
        only=given.get("--only"),
        processes=int(given["--processes"]) if "--processes" in given else None,
        folder=folder,
        screen=_Measured(folder),
    )


def read_claims() -> list[dict[str, Any]]:
    """Return what is claimed of experiments, in the order of the page."""
    claims: list[dict[str, Any]] = tomllib.loads((FIGURES / "claims.toml").read_text("utf-8"))[
        "claim"
    ]
    return claims


def fill(page: str, reports: Mapping[str, ExperimentReport]) -> tuple[str, dict[str, str]]:
    """Return a page with what `reports` have shown at their places, and figures by file name.

    Places of studies that were not run stay as they are.
    """
    figures: dict[str, str] = {}

    def told(place: re.Match[str]) -> str:
        begin, experiment, study, as_table, wanted, before, end = place.groups()
        if experiment == CLAIMS:
            return f"{begin}\n{claims_table(read_claims(), reports, before)}\n{end}"
        report = reports.get(experiment)
        if report is None:
            return place[0]
        if study is None:
            return f"{begin}\n{_measured(report)}\n{end}"
        named = {one.study.name: one for one in report.concluded}
        if study not in named:
            return place[0]
        found = named[study]
        text = _tables(found) if as_table else _said(report, found)
        if found.finding.charts and (wanted or not as_table):
            at = int(wanted or 1)
            chart = found.finding.charts[at - 1]
            name = f"lab-{experiment}-{study}{f'-{at}' if at > 1 else ''}.svg"
            figures[name] = drawing(chart)
            text += f"\n![{chart.title}](figures/{name})\n"
        return f"{begin}\n{text}\n{end}"

    return PLACE.sub(told, page), figures


def _said(report: ExperimentReport, found: Concluded) -> str:
    study, finding = found
    equal = study.equal.rstrip(".")
    return (
        f"> **Predicted** ({study.prediction.source}): {study.prediction.says}\n>\n"
        f"> **Measured**: {OUTCOMES[finding.came_out]}. {finding.verdict}\n>\n"
        f"> Held equal: {equal}. `{_command(report)}`, on {report.machine}.\n"
    )


def _command(report: ExperimentReport) -> str:
    return shlex.join(report.command).partition(" --out")[0]


def _measured(report: ExperimentReport) -> str:
    minutes = f"{report.seconds / 60:.1f} minutes"
    return f"`{_command(report)}`, {minutes} on {report.machine}. Text: {report.text}.\n"


def _tables(found: Concluded) -> str:
    """Return a study's tables and notes; what was predicted stands among the claims."""
    tables = [t for t in found.finding.tables if t.title != PREDICTED_TITLE]
    told = [f"{table.title}:\n\n{_rows(table)}" for table in tables]
    return "\n".join([*told, *(f"Note: {note}\n" for note in found.finding.notes)])


def _rows(table: Table) -> str:
    bar = ["---", *["---:"] * (len(table.head) - 1)]
    return "".join(f"| {' | '.join(row)} |\n" for row in (table.head, bar, *table.rows))


def claims_table(
    claims: Sequence[Mapping[str, Any]], reports: Mapping[str, ExperimentReport], before: str
) -> str:
    """Return the table of claims; rows of experiments that are not in `reports` as they were."""
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in before.splitlines()}
    lines = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    for claim in claims:
        experiment, study = claim["study"].split("/")
        concluded = reports[experiment].concluded if experiment in reports else ()
        named = {one.study.name: one for one in concluded}
        said = _outcome(claim, named[study]) if study in named else ("not measured yet", "")
        link = f"[{experiment}](#{experiment})"
        line = f"| {' | '.join([claim['says'], claim['by'], *said, link])} |"
        lines.append(line if study in named else rows.get(claim["says"], line))
    return "\n".join(lines) + "\n"


def _outcome(claim: Mapping[str, Any], found: Concluded) -> tuple[str, str]:
    """Return whether a claim came out, and the figure that says so."""
    finding, arm = found.finding, claim.get("arm", "")
    if "slope" in claim:
        slope = finding.figures["slopes"][claim["slope"]]
        value, interval = number(slope["slope"], 0.1, sign=True), range_words(*slope["interval"])
        return ANSWERS[slope["came_out"]], f"slope {value} ({interval})"
    one = next((d for d in finding.differences if (d.arm, d.x) == (arm, claim.get("x", d.x))), None)
    figure = _difference(one) if one else "too few runs were left" if arm else ""
    came_out: bool | None = finding.came_out
    if "part" in claim:
        came_out = finding.figures["predictions"][claim["part"]]
    elif "within" in claim:
        came_out = None if one is None else within(one.interval, -claim["within"], claim["within"])
    elif "expected" in claim:
        came_out = None if one is None else as_expected(one, claim["expected"])
    answer = NOT_SEEN if came_out is not True and one and not one.seen else ANSWERS[came_out]
    seeds = ", one seed" if len(found.study.seeds) == 1 else ""
    return answer, _figure(claim.get("figure", figure) + seeds, finding.figures)


def _figure(words: str, figures: Mapping[str, Any]) -> str:
    """Return words with figures in them; none where the study could not tell one."""
    try:
        return words.format(**figures)
    except (KeyError, TypeError):
        return ""


def _difference(one: Difference) -> str:
    unit = "nats" if one.metric in METRICS else one.metric
    return f"{number(one.mean, reach(one), sign=True)} {unit} ({range_words(*one.interval)})"


def main() -> None:
    parser = argparse.ArgumentParser(description="Let the pages tell what experiments have shown.")
    parser.add_argument("folders", type=Path, nargs="+", help="such as lab/norm")
    given = parser.parse_args()
    reports = {report.name: report for report in map(read, given.folders)}
    for path in sorted(DOCS.glob("*.md")):
        before = path.read_text("utf-8")
        page, figures = fill(before, reports)
        for name, picture in figures.items():
            write_text(DOCS / "figures" / name, picture)
        if page != before:
            write_text(path, page)
            print(f"{path.relative_to(DOCS.parent)}: {len(figures)} figures")


if __name__ == "__main__":
    main()
