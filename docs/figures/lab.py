"""Let the pages in docs tell what experiments have shown: their verdicts and figures.

    groundup lab norm
    python docs/figures/lab.py lab/norm

takes the folders of experiments that are finished, and measures nothing. A page says

    <!-- lab: norm/loss -->
    <!-- end of lab -->

where the study `loss` of the experiment `norm` belongs: between these lines come its prediction,
its verdict and its first figure, which is written to docs/figures. Then run `make article`.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from groundup.base.files import read_json, write_text
from groundup.lab.experiment import Concluded, ExperimentReport
from groundup.lab.running.budget import parse_budget
from groundup.lab.running.run import run_experiment
from groundup.report.drawing import drawing

DOCS = Path(__file__).resolve().parents[1]
PLACE = re.compile(r"(<!-- lab: ([\w-]+)/([\w-]+) -->\n).*?(<!-- end of lab -->)", re.DOTALL)
OUTCOMES = {
    True: "the prediction came out",
    False: "the prediction did not come out",
    None: "whether the prediction came out cannot be told",
}


def read(folder: Path) -> ExperimentReport:
    """Return what a finished experiment has shown."""
    words: Sequence[str] = read_json(folder / "verdict.json")["command"]
    given = dict(zip(words[3::2], words[4::2], strict=True))
    budget = given.get("--budget")
    return run_experiment(
        words[2],
        budget=None if budget is None else parse_budget(budget),
        text=given.get("--text", "shakespeare"),
        only=given.get("--only"),
        folder=folder,
    )


def fill(page: str, reports: Mapping[str, ExperimentReport]) -> tuple[str, dict[str, str]]:
    """Return a page with what `reports` have shown at their places, and figures by file name.

    Places of studies that were not run stay as they are.
    """
    figures: dict[str, str] = {}

    def told(place: re.Match[str]) -> str:
        begin, experiment, study, end = place.groups()
        report = reports.get(experiment)
        named = {one.study.name: one for one in report.concluded} if report else {}
        if report is None or study not in named:
            return place[0]
        found = named[study]
        text = _said(report, found)
        if found.finding.charts:
            chart, name = found.finding.charts[0], f"lab-{experiment}-{study}.svg"
            figures[name] = drawing(chart)
            text += f"\n![{chart.title}](figures/{name})\n"
        return f"{begin}\n{text}\n{end}"

    return PLACE.sub(told, page), figures


def _said(report: ExperimentReport, found: Concluded) -> str:
    study, finding = found
    command = shlex.join(report.command).partition(" --out")[0]
    return (
        f"> **Predicted** ({study.prediction.source}): {study.prediction.says}\n>\n"
        f"> **Measured**: {OUTCOMES[finding.came_out]}. {finding.verdict}\n>\n"
        f"> Held equal: {study.equal}. `{command}`, on {report.machine}.\n"
    )


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
