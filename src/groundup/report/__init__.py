"""Pages that are complete in themselves, for a phone, a desktop and paper.

`write_report` writes a run's report.html; `report.compare` writes runs side by side.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from groundup.base.errors import GroundupError
from groundup.base.files import write_text
from groundup.report.architecture import architecture
from groundup.report.assistant import ASSISTANT_STYLE, assistant_sections
from groundup.report.classification import CLASSIFICATION_STYLE, classification_sections
from groundup.report.page import Section, esc, page
from groundup.report.sections import (
    curves,
    header,
    key_figures,
    plan_and_measured,
    repetition,
    samples,
)
from groundup.runs.assistant import read_assistant
from groundup.runs.classification import read_classification
from groundup.runs.classifier import CLASSIFIER
from groundup.runs.folder import RunFolder
from groundup.runs.record import read_run

__all__ = ["write_report"]


def write_report(run: Path, state: str | None = None) -> Path:
    """Write the report of the run folder `run`, finished or not, and return its path.

    `state` overrules what the files tell: a trainer that stops, yet still holds the run's lock,
    knows that the run is "interrupted". Raises `RunError` where `run` is no run folder.
    """
    record = read_run(run)
    record = replace(record, state=state or record.state)
    tested, style = _test(RunFolder(run))
    is_classifier = record.manifest.kind == CLASSIFIER  # which writes nothing
    sections = [
        Section("figures", "Key figures", key_figures(record)),
        *tested,
        Section("curves", "Curves", curves(record)),
        *([] if is_classifier else [Section("samples", "Samples", samples(record))]),
        Section("architecture", "Architecture", architecture(record.config, record.stored)),
        Section("plan", "Plan against measured", plan_and_measured(record)),
        Section("repeat", "How to repeat it", repetition(record)),
    ]
    path = RunFolder(run).report
    title = f"{record.name} – groundup run report"
    write_text(path, page(title, header(record), sections, style))
    return path


def _test(folder: RunFolder) -> tuple[list[Section], str]:
    """Return what the test of a classifier or an assistant showed, if it is one, and its looks.

    A damaged file leaves the rest of the report.
    """
    try:
        if classified := read_classification(folder.classification):
            return classification_sections(classified), CLASSIFICATION_STYLE
        if asked := read_assistant(folder.assistant):
            return assistant_sections(asked), ASSISTANT_STYLE
    except GroundupError as error:
        return [Section("test", "Test", f'<p class="alert">{esc(error)}</p>')], ""
    return [], ""
