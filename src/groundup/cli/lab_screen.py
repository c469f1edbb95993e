"""What `groundup lab` shows while it runs: the plan, the time left, each verdict as it comes."""

from __future__ import annotations

import time
from types import TracebackType

from groundup.base.words import counted
from groundup.cli.app import tell
from groundup.cli.printing import print_preformatted, print_text, say, screen_width
from groundup.lab.conclusions.facts import facts
from groundup.lab.conclusions.words import PREDICTED, capital, lines
from groundup.lab.experiment import Finding, Study
from groundup.lab.running.plan import Plan
from groundup.lab.running.screen import LabScreen
from groundup.lab.running.shortage import rough

INDENT = 14
"""Room for "Learning rate"."""
SECONDS_A_LINE = 60
"""Between lines of progress where nobody watches a bar."""


class Screen(LabScreen):
    """Shows an experiment on a terminal, or in lines; with `quiet` only its progress."""

    def __init__(self, quiet: bool) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        from groundup.base.console import HarmlessConsole

        self.quiet = quiet
        self._told: set[str] = set()
        console = HarmlessConsole(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[left]}", markup=False),
            console=console,
            transient=True,
            expand=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, left="")
        self._next_line = time.monotonic() + SECONDS_A_LINE

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def predicted(self, plan: Plan) -> None:
        """Show what is predicted, before anything is measured."""
        if self.quiet:
            return
        print_text(plan.work.source.experiment.question)
        for study in plan.studies:
            _say("Predicted", f"{study.title}: {predicted(study)}")
        self._told = {study.name for study in plan.studies}

    def planned(self, plan: Plan) -> None:
        """Show each study: what differs, what is equal, what is measured, what is predicted."""
        if self.quiet:
            return
        if not self._told:
            print_text(plan.work.source.experiment.question)
        _say("Text", plan.work.text.name)
        for study in plan.studies:
            print_text("")
            print_text(f"{study.title} ({study.name}, {study.kind})")
            if study.name not in self._told:
                _say("Predicted", predicted(study))
            for what, words in facts(study):
                if what != "evidence":  # stands in the heading
                    _say(capital(what), words)
            _say("Cells", f"{len(study.cells()):,}, {plan.processes} at a time")
        print_text("")

    def timing(self, done: int, total: int) -> None:
        """Show that cells are timed."""
        self._show("Timing", done, total, None)

    def begins(self, left: int, total: int, seconds: float | None) -> None:
        """Show how much there is to do."""
        self._bar.stop()
        if self.quiet:
            return
        if not left:
            print_text(
                f"All {counted(total, 'cell')} were measured before; here is what they show."
            )
            return
        cells = counted(total, "cell")
        what = f"{left:,} of {cells} are left" if left < total else cells
        about = "" if seconds is None else f", which takes about {rough(seconds)}"
        print_text(f"{what} to measure{about}.")

    def progress(self, done: int, total: int, seconds_left: float | None) -> None:
        """Show how much is done and how long the rest takes."""
        self._show(f"{done:,} of {counted(total, 'cell')}", done, total, seconds_left)

    def _show(self, what: str, done: int, total: int, seconds: float | None) -> None:
        left = "" if seconds is None else f"about {rough(seconds)} left"
        if not self._bar.disable:
            self._bar.start()
            self._bar.update(self._task, description=what, completed=done, total=total, left=left)
        elif time.monotonic() > self._next_line:
            self._next_line = time.monotonic() + SECONDS_A_LINE
            tell(", ".join(filter(None, [what, left])))

    def concluded(self, study: Study, finding: Finding) -> None:
        """Show what a study has shown."""
        if self.quiet:
            return
        self._bar.stop()
        print_text("")
        print_text(f"{study.title}: {PREDICTED[finding.came_out]}")
        for line in lines(finding, screen_width()):
            print_preformatted(line)


def _say(label: str, text: str) -> None:
    say(label, text, INDENT)


def predicted(study: Study) -> str:
    """Return a study's prediction with its source."""
    says, source = study.prediction.says, study.prediction.source
    return f"{says.rstrip('.')} ({source})" if source else says
