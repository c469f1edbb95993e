"""`groundup lab`: controlled experiments, with a prediction before and a verdict after."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.base.errors import UsageError
from groundup.base.output import fail_safe, lost_by
from groundup.cli.app import app, tell, verb
from groundup.cli.options import AsJSON
from groundup.cli.printing import print_rows, print_text, say, suggest

if TYPE_CHECKING:
    from groundup.lab.experiment import ExperimentReport
    from groundup.lab.registry import Described

DEFAULT_TEXT = "shakespeare"
INDENT = 12
"""Room for "Predictions"."""
ONLY_HELP = "One study by its name, or: at-initialisation, trained."


@verb(app, "lab")
def lab(
    experiment: Annotated[
        str | None, typer.Argument(help="A name, or a file of your own: arms.toml, arms.py.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Time it may take, such as 30m or 1h: more arms, sizes, rates, seeds."),
    ] = None,
    text: Annotated[
        str, typer.Option(help="A file, a folder or a named text to learn from.")
    ] = DEFAULT_TEXT,
    only: Annotated[str | None, typer.Option(help=ONLY_HELP)] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where figures and page are kept. [default: lab/NAME]")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="Cells measured at once. [default: one a core]")
    ] = None,
    png: Annotated[
        bool, typer.Option("--png", help="Write each figure as a picture, too.")
    ] = False,
    as_json: AsJSON = False,
) -> None:
    """Run a controlled experiment: prediction before, verdict after.

    Without a name the experiments are listed. What was interrupted goes on, what was measured is
    not measured again.
    """
    if experiment is None:
        if budget or only or out or processes or png or text != DEFAULT_TEXT:
            raise UsageError("which experiment? 'groundup lab' alone lists them; name one")
        _list(as_json)
        return
    seconds = _check(experiment, budget, text, processes, png)
    from groundup.cli.lab_screen import Screen
    from groundup.lab.running.outputs import verdict_object
    from groundup.lab.running.run import run_experiment

    shown = fail_safe(sys.stdout, _tell_lost)
    with contextlib.redirect_stdout(shown), Screen(as_json) as screen:
        report = run_experiment(
            experiment,
            budget=seconds,
            text=text,
            folder=out,
            processes=processes,
            only=only,
            png=png,
            screen=screen,
        )
    if as_json:
        print(json.dumps(verdict_object(report), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _show(report)


def _tell_lost(error: OSError) -> None:
    tell(f"{lost_by(error)}; the experiment goes on without showing how far it is")


def _check(
    experiment: str, budget: str | None, text: str, processes: int | None, png: bool
) -> float | None:
    """Return the seconds of a budget; refuse without torch what can be refused without it."""
    from groundup.lab.own_file import read_own_toml
    from groundup.lab.registry import check_name, is_own
    from groundup.lab.running.budget import check_arguments, given_text, parse_budget

    if png:
        from groundup.report.png import require_png

        require_png()
    if not is_own(experiment):
        check_name(experiment)
    elif experiment.endswith(".toml"):
        read_own_toml(Path(experiment))
    elif not Path(experiment).is_file():
        raise UsageError(f"{experiment}: no such file; check the path")
    seconds = None if budget is None else parse_budget(budget)
    check_arguments(seconds, processes)
    given_text(text)
    return seconds


def _list(as_json: bool) -> None:
    """Print what experiments there are."""
    from dataclasses import asdict

    from groundup.lab.registry import describe, experiment_files

    known = [describe(name) for name in experiment_files()]
    if as_json:
        print(json.dumps([asdict(one) for one in known], indent=2, ensure_ascii=False))
        return
    rows = [[one.name, one.question, _time(one)] for one in known]
    print_rows("", ["name", "question", "time"], rows, to_read=True)
    suggest("Run one", "groundup", "lab", known[0].name)


def _time(one: Described) -> str:
    """Say about how long an experiment takes, or that it is for the user to say."""
    if one.least > 1:
        return "with --budget"
    return f"{one.minutes:g} min" if one.minutes else ""


def _show(report: ExperimentReport) -> None:
    """Print the answer, what became of the predictions, and where the page and the numbers are."""
    from groundup.lab.conclusions.words import outcomes

    print_text("")
    told = {"Verdict": report.verdict, "Predictions": outcomes(report.concluded)}
    for label, file in (("Page", "report.html"), ("Numbers", "results.csv")):
        if (path := report.folder / file).is_file():
            told[label] = str(path)
    for label, text in told.items():
        say(label, text, INDENT)
