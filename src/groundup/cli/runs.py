"""`groundup runs`, `compare` and `report`: what was trained, side by side, and on one page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.base.file_names import RUNS
from groundup.cli.app import app, verb
from groundup.cli.options import AsJSON
from groundup.cli.printing import print_parts, print_rows, print_text, say
from groundup.cli.run_names import Run, Runs

if TYPE_CHECKING:
    from groundup.runs.listing import RunSummary

AT_ONCE = 50
"""As many runs are shown together; of more, each so many as soon as they are read."""
DISPENSABLE = ("updated", "on disk")
LIKELY = {
    "state": ["interrupted"],
    "kind": ["pretraining"],
    "parameters": ["100,000,000"],
    "best loss": ["10.0000"],
    "on disk": ["10,000 MiB"],
}
"""Cells that may follow any."""


@verb(app, "runs")
def runs(
    runs_folder: Annotated[Path, typer.Option("--runs", help="Where runs are.")] = RUNS,
    as_json: AsJSON = False,
) -> None:
    """List runs with their state, size and best loss."""
    from groundup.runs.listing import each_run, run_folders

    folders = run_folders(runs_folder)
    if as_json:
        _print_json(each_run(runs_folder, folders))
        return
    if not folders:
        print_text(f"no runs in {runs_folder}; 'groundup train' makes one")
        return
    errors: list[str] = []
    found = _noting(each_run(runs_folder, folders, verdicts=False), errors)
    if len(folders) > AT_ONCE:
        _print_as_they_come(found, [folder.path.name for folder in folders])
    else:
        _print_together(list(found))
    for error in errors:
        print_text(error)


def _print_json(found: Iterator[RunSummary]) -> None:
    """Print a list of objects, each as soon as it is known."""
    before = "[\n  "
    for run in found:
        text = json.dumps({"name": run.name, **vars(run)}, indent=2, default=str)
        print(before, text.replace("\n", "\n  "), sep="", end="", flush=True)
        before = ",\n  "
    print("\n]" if before.startswith(",") else "[]")


def _noting(found: Iterator[RunSummary], errors: list[str]) -> Iterator[RunSummary]:
    """Pass runs on, and note what is wrong with them."""
    for run in found:
        if run.error:
            errors.append(run.error)
        yield run


def _print_together(found: list[RunSummary]) -> None:
    from groundup.runs.manifest import PRETRAINING

    several = any(run.kind not in ("", PRETRAINING) for run in found)  # their losses do not compare
    rows = [_cells(run) for run in found]
    columns = [name for name in rows[0] if name != "kind" or several]
    cells = [[row[name] for name in columns] for row in rows]
    print_rows("", columns, cells, dispensable=DISPENSABLE)


def _print_as_they_come(found: Iterator[RunSummary], names: list[str]) -> None:
    """Print many runs part by part, in columns as wide as those of the first ones need."""
    parts = iter(lambda: list(map(_cells, islice(found, AT_ONCE))), [])
    first = next(parts)
    likely = {name: [row[name] for row in first] + LIKELY.get(name, []) for name in first[0]}
    rows = ([list(row.values()) for row in part] for part in chain([first], parts))
    print_parts(likely | {"run": names}, rows, dispensable=DISPENSABLE)


def _cells(run: RunSummary) -> dict[str, str]:
    from groundup.plan.units import mib

    return {
        "run": run.name,
        "state": run.state,
        "kind": f"{run.kind} ({run.objective})" if run.objective else run.kind,
        "parameters": f"{run.parameters:,}" if run.parameters else "",
        "step": f"{run.step:,}" + (f" of {run.steps:,}" if run.steps else ""),
        "best loss": f"{run.best_val_loss:.4f}" if run.best_val_loss is not None else "",
        "on disk": mib(run.size_bytes),
        "updated": f"{run.updated.astimezone():%Y-%m-%d %H:%M}" if run.updated else "",
    }


@verb(app, "compare")
def compare(
    runs: Runs,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("comparison.html"),
    as_json: AsJSON = False,
) -> None:
    """Overlay the curves of runs, and list what differs."""
    from groundup.base.errors import UsageError
    from groundup.report.compare import CAUSES, compare_runs, write_comparison

    if len(runs) < 2:
        raise UsageError(f"{len(runs)} run given; compare takes two or more run folders")
    comparison = compare_runs(*runs)
    if as_json:
        print(json.dumps(comparison.as_dict(), indent=2, default=str))
        return
    page = write_comparison(runs, out)  # before anything is said, which nobody may read
    names = [outcome.name for outcome in comparison.outcomes]
    for note in comparison.notes:
        print_text(note)
    figures = [
        ("state", "state"),
        ("kind", "kind"),
        ("parameters", "parameters"),
        ("step", "step"),
        ("best loss", "best_val_loss"),
        ("final loss", "final_val_loss"),
        ("bits/byte", "best_bits_per_byte"),
        ("seconds", "seconds"),
    ]
    rows = [
        [label, *(_figure(getattr(outcome, field)) for outcome in comparison.outcomes)]
        for label, field in figures
    ]
    rows += [
        [difference.key, *(_figure(value) for value in difference.values)]
        for difference in comparison.differences
        if difference.key.startswith(CAUSES)
    ]
    print_rows("", ["", *names], rows)
    say("Curves", str(page))


def _figure(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


@verb(app, "report")
def report(run: Run) -> None:
    """Write a run's report.html anew."""
    from groundup.report import write_report

    print(write_report(run))
