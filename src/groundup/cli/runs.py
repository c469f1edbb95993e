"""`groundup runs`, `compare` and `report`: what was trained, side by side, and on one page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.base.file_names import RUNS
from groundup.cli.app import app, verb
from groundup.cli.options import AsJSON
from groundup.cli.printing import print_rows, print_text, say
from groundup.cli.run_names import Run, Runs

if TYPE_CHECKING:
    from groundup.runs.listing import RunSummary


@verb(app, "runs")
def runs(
    runs_folder: Annotated[Path, typer.Option("--runs", help="Where runs are.")] = RUNS,
    as_json: AsJSON = False,
) -> None:
    """List runs with their state, size and best loss."""
    from groundup.runs.listing import list_runs
    from groundup.runs.manifest import PRETRAINING

    found = list_runs(runs_folder)
    if as_json:
        rows = [{"name": run.name, **vars(run)} for run in found]
        print(json.dumps(rows, indent=2, default=str))
        return
    if not found:
        print_text(f"no runs in {runs_folder}; 'groundup train' makes one")
        return
    several = any(run.kind not in ("", PRETRAINING) for run in found)  # their losses do not compare
    rows = [_cells(run) for run in found]
    columns = [name for name in rows[0] if name != "kind" or several]
    print_rows(
        "",
        columns,
        [[cells[name] for name in columns] for cells in rows],
        dispensable=("updated", "on disk"),
    )
    for run in found:
        if run.error:
            print_text(run.error)


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
    say("Curves", str(write_comparison(runs, out)))


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
