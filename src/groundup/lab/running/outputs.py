"""What an experiment leaves: the verdict for a program, the figures as CSV, and a page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from groundup.base.errors import UsageError, quoted
from groundup.base.files import atomic_writer, write_text
from groundup.lab.conclusions.page import experiment_page
from groundup.lab.conclusions.words import outcomes
from groundup.lab.experiment import Cell, Concluded, ExperimentReport, Finding, Values
from groundup.lab.running.fields import check_fields
from groundup.lab.running.folder import FIGURES, REPORT, LabFolder
from groundup.report.drawing import drawing
from groundup.report.png import png as png_of


def checked_finding(finding: object) -> Finding:
    """Return what a study has concluded, if it is what can be told."""
    if not isinstance(finding, Finding):
        raise UsageError(f"it returned {quoted(finding)}; expected a Finding")
    told = replace(finding, figures=_listed(finding.figures), came_out=_listed(finding.came_out))
    check_fields("its finding", told, Finding)
    try:
        json.dumps([told.figures, told.came_out, list(told.notes)])
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"its figures: {error}; expected numbers, texts, and lists of them"
        ) from error
    return told


def _listed(value: Any) -> Any:
    """Return a value with plain numbers and lists in place of those of numpy and torch."""
    if isinstance(value, Mapping):
        return {str(key): _listed(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_listed(inner) for inner in value]
    return value.tolist() if hasattr(value, "tolist") else value


def write_outputs(
    folder: LabFolder, report: ExperimentReport, values: Mapping[Cell, Values], *, png: bool
) -> None:
    """Write results.csv, verdict.json and report.html, and with `png` each figure as a picture."""
    folder.write_table(values)
    folder.write_verdict(verdict_object(report))
    write_text(folder.path / REPORT, experiment_page(report))
    if png:
        _write_pictures(folder.path / FIGURES, report)


def _write_pictures(folder: Path, report: ExperimentReport) -> None:
    for study, finding in report.concluded:
        for number, chart in enumerate(finding.charts, 1):
            with atomic_writer(folder / f"{study.name}-{number}.png") as file:
                file.write(png_of(drawing(chart)))


def verdict_object(report: ExperimentReport) -> dict[str, Any]:
    """Return a report as JSON has it; a number that is not finite is null, and told."""
    lost: list[str] = []
    told = _finite(
        {
            "verdict": report.verdict,
            "predictions": outcomes(report.concluded),
            "came_out": report.came_out,
            "experiment": report.name,
            "question": report.question,
            "machine": report.machine,
            "text": report.text,
            "seconds": round(report.seconds, 1),
            "studies": [_study(concluded) for concluded in report.concluded],
            "folder": str(report.folder),
            "command": list(report.command),
        },
        "",
        lost,
    )
    return {**told, "not_finite": lost}


def _study(concluded: Concluded) -> dict[str, Any]:
    study, finding = concluded
    return {
        "name": study.name,
        "title": study.title,
        "kind": study.kind,
        "prediction": study.prediction.says,
        "source": study.prediction.source,
        "verdict": finding.verdict,
        "came_out": finding.came_out,
        "differences": [{**asdict(one), "seen": one.seen} for one in finding.differences],
        "figures": dict(finding.figures),
        "notes": list(finding.notes),
    }


def _finite(value: Any, where: str, lost: list[str]) -> Any:
    """Return a value without NaN and infinity; `lost` receives where they stood."""
    if isinstance(value, dict):
        return {str(k): _finite(v, f"{where}.{k}".lstrip("."), lost) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v, f"{where}[{i}]", lost) for i, v in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        lost.append(where)
        return None
    return value
