"""What is told while an experiment runs, to whoever shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from groundup.lab.experiment import Finding, Study
    from groundup.lab.running.plan import Plan


class LabScreen:
    """The base of all screens: it is told everything and shows nothing."""

    def predicted(self, plan: Plan) -> None:
        """Receive what is predicted, where cells are timed before all is planned."""

    def planned(self, plan: Plan) -> None:
        """Receive what will be measured, before anything is."""

    def timing(self, done: int, total: int) -> None:
        """Receive how many cells were timed."""

    def begins(self, left: int, total: int, seconds: float | None) -> None:
        """Receive how many cells are left, and about how many seconds they take, if known."""

    def progress(self, done: int, total: int, seconds_left: float | None) -> None:
        """Receive how many cells are done, and about how many seconds the others take."""

    def concluded(self, study: Study, finding: Finding) -> None:
        """Receive what a study has shown, as soon as its cells are done."""
