"""Runs an experiment: what is not measured yet, a verdict a study, and what stays on disk."""

from __future__ import annotations

import contextlib
import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch

from groundup.base.errors import UsageError
from groundup.base.hardware import cpu_model_line, total_memory, usable_cores
from groundup.base.words import counted
from groundup.lab.experiment import (
    Cell,
    Concluded,
    Experiment,
    ExperimentReport,
    Results,
    Study,
    Values,
)
from groundup.lab.measures.text import DEFAULT_TEXT, LabText
from groundup.lab.running.budget import budget_words, check_arguments, given_text
from groundup.lab.running.costs import LONGER, SHORT, Costs
from groundup.lab.running.failures import called
from groundup.lab.running.folder import LabFolder, default_folder
from groundup.lab.running.outputs import checked_finding, write_outputs
from groundup.lab.running.plan import Plan, fitting_scale
from groundup.lab.running.screen import LabScreen
from groundup.lab.running.shortage import enough, too_small
from groundup.lab.running.source import Source, find_source
from groundup.lab.running.tasks import Task, Work
from groundup.lab.running.workers import (
    Answer,
    Ask,
    InThisProcess,
    Workers,
    default_processes,
)
from groundup.report.png import require_png


def run_experiment(
    experiment: str | Path | Experiment,
    *,
    budget: float | None = None,
    text: str = DEFAULT_TEXT,
    folder: str | Path | None = None,
    processes: int | None = None,
    only: str | None = None,
    png: bool = False,
    screen: LabScreen | None = None,
) -> ExperimentReport:
    """Run an experiment, or go on where the same call stopped; return what it has shown.

    `experiment` is a name, a .toml or .py file, or an object, which is measured in this process.
    `budget` are the seconds that it may take: more arms, sizes, rates and seeds. `only` names a
    study, or is "at initialisation" or "trained". What was measured stays in `folder`, lab/NAME
    where not given. Raises `UsageError` for what cannot be told so, `GroundupError` for a
    measurement that failed: what was finished stays.
    """
    check_arguments(budget, processes, only, folder)
    if png:
        require_png()
    source = find_source(experiment)
    lab_text = given_text(text)
    lab_folder = LabFolder(
        Path(folder or default_folder(source.experiment.name)), source.experiment.name
    )
    crew = Workers(processes or default_processes()) if source.reference else InThisProcess()
    with lab_folder.held(), contextlib.closing(crew):
        run = _Run(source, lab_text, lab_folder, crew, only, screen or LabScreen())
        plan = run.plan(run.scale(budget))
        run.screen.planned(plan)
        given = {
            "--budget": None if budget is None else budget_words(budget),
            "--text": None if text == DEFAULT_TEXT else text,
            "--only": only,
            "--processes": processes,
            "--out": folder,
        }
        words = _words(experiment, given) if source.reference else []
        report = run.measure(plan, words)
        write_outputs(lab_folder, report, run.values(plan.tasks), png=png)
    return report


def _words(experiment: object, given: Mapping[str, object]) -> list[str]:
    """Return the command that repeats a run; options that are None are left out."""
    name = experiment.name if isinstance(experiment, Experiment) else experiment
    told = [word for flag, value in given.items() if value is not None for word in (flag, value)]
    return ["groundup", "lab", *map(str, [name, *told])]


class _Run:
    """One run of an experiment: what is known of its cells, and who measures the others."""

    def __init__(
        self,
        source: Source,
        text: LabText,
        folder: LabFolder,
        crew: Workers | InThisProcess,
        only: str | None,
        screen: LabScreen,
    ) -> None:
        self.source, self.text, self.folder, self.crew = source, text, folder, crew
        self.only, self.screen = only, screen
        self.kept = folder.read()
        self.costs = Costs()

    def plan(self, scale: float) -> Plan:
        """Return what is measured at a scale."""
        return Plan.of(Work(self.source, scale, self.text), self.only, self.crew.size)

    def missing(self, plan: Plan) -> list[Task]:
        """Return the cells that are not measured yet."""
        return [task for task in plan.tasks if task.key not in self.kept]

    def scale(self, budget: float | None) -> float:
        """Return the scale of a budget in seconds, as it was decided before where it was."""
        least = self.source.experiment.least
        if budget is None:
            if least > 1:
                raise self._needs_a_budget(least)
            return 1.0
        of_all = self.source.common_key(self.text.fingerprint)
        name = f"{budget:g} s, {self.crew.size} processes, {self.only or 'all'}, {of_all}"
        if (decided := self.folder.scale(name)) is not None:
            return decided
        plan = self.plan(least)
        self.screen.predicted(plan)
        if (seconds := self._seconds(plan, plan.tasks)) > budget:
            raise too_small(plan, self.costs, self.kept, budget, seconds)

        def seconds_at(scale: float) -> float:
            plan = self.plan(scale)
            return self._seconds(plan, plan.tasks)

        scale = fitting_scale(seconds_at, least, budget)
        self.folder.keep_scale(name, scale)
        return scale

    def _needs_a_budget(self, least: float) -> UsageError:
        plan = self.plan(least)
        return UsageError(
            f"{self.source.experiment.name} takes more time than others: give --budget "
            f"{enough(self._seconds(plan, plan.tasks))} or more"
        )

    def _seconds(self, plan: Plan, tasks: Sequence[Task]) -> float:
        """Return about how long cells of a plan take, after timing a few of each study."""
        self._time(plan, tasks)
        seconds = plan.seconds(self.costs.total(tasks))
        if seconds is None:
            raise UsageError(
                f"{self.source.experiment.name}: its trainings cannot be timed by a few steps; "
                "run it without --budget"
            )
        return seconds

    def _time(self, plan: Plan, tasks: Sequence[Task]) -> None:
        """Time those cells that tell how long all take: a training by a few of its steps.

        What is not trained takes no longer than to be timed: it is measured, and kept.
        """
        for task in plan.tasks:
            if task.key in self.kept:
                self.costs.add(task, self.kept[task.key][1])
        chosen = self.costs.to_time(tasks)
        asks = [Ask(task) for task in chosen if not task.is_trained and task.key not in self.kept]
        trained = [task for task in chosen if task.is_trained]
        warm_up = [Ask(task, SHORT) for task in trained[:1] * self.crew.size]
        asks += warm_up + [Ask(task, n) for task in trained for n in (SHORT, LONGER)]
        seconds: dict[str, dict[int, float]] = {}
        for done, answer in enumerate(self.crew.measure(plan.work, asks), 1):
            self.screen.timing(done, len(asks))
            task, steps = answer.ask
            if steps is None:
                self._keep(answer)
            elif answer.error is None:  # else it needs more steps
                seconds.setdefault(task.key, {})[steps] = answer.seconds
        for task in trained:
            found = seconds.get(task.key, {})
            if len(found) == 2:
                self.costs.add_timing(task, found[SHORT], found[LONGER])

    def _keep(self, answer: Answer) -> None:
        """Keep what a cell measured, on disk first; raise what went wrong."""
        if answer.error is not None:
            raise answer.error
        task, values, seconds = answer.ask.task, answer.values, answer.seconds
        self.folder.add(task.key, task.cell, values, seconds)
        self.kept[task.key] = (values, seconds)
        self.costs.add(task, seconds)

    def measure(self, plan: Plan, command: Sequence[str]) -> ExperimentReport:
        """Measure what is not measured yet, and conclude each study when it is done."""
        if missing := self.missing(plan):
            self._time(plan, missing)
            missing = self.missing(plan)
        total, left = len(plan.tasks), Counter(task.cell.study for task in missing)
        estimate = plan.seconds(self.costs.total(missing))
        self.screen.begins(len(missing), total, estimate)
        concluded = {s.name: self._conclude(plan, s) for s in plan.studies if not left[s.name]}
        expected = {task.key: self.costs.of(task) for task in missing}
        clock = _Clock(expected, self.crew.size)
        for answer in self.crew.measure(plan.work, map(Ask, missing)):
            self._keep(answer)
            task = answer.ask.task
            clock.done(task.key, answer.seconds)
            left[task.cell.study] -= 1
            self.screen.progress(total - left.total(), total, clock.seconds_left())
            if not left[task.cell.study]:
                study = next(s for s in plan.studies if s.name == task.cell.study)
                concluded[study.name] = self._conclude(plan, study)
        return ExperimentReport(
            name=self.source.experiment.name,
            question=self.source.experiment.question,
            concluded=[concluded[study.name] for study in plan.studies],
            machine=machine(),
            text=f"{self.text.name}, {self.text.n_characters:,} characters",
            seconds=sum(self.kept[task.key][1] for task in plan.tasks) / self.crew.size,
            command=command,
            folder=self.folder.path,
            answered_by=self.source.experiment.answered_by,
        )

    def _conclude(self, plan: Plan, study: Study) -> Concluded:
        results = Results(study, self.values(t for t in plan.tasks if t.cell.study == study.name))
        with called(f"{study.name}: concluding"):
            finding = checked_finding(study.conclude(results))
        self.screen.concluded(study, finding)
        return Concluded(study, finding)

    def values(self, tasks: Iterable[Task]) -> dict[Cell, Values]:
        """Return what cells have measured, all of which are done."""
        return {task.cell: self.kept[task.key][0] for task in tasks}


class _Clock:
    """How long what is left will take, by how well what is done was estimated."""

    def __init__(self, expected: Mapping[str, float | None], processes: int) -> None:
        self.expected, self.processes = dict(expected), processes
        self.taken = self.estimated = 0.0

    def done(self, key: str, seconds: float) -> None:
        """Take in that a cell is done, in so many seconds."""
        if (estimate := self.expected.pop(key)) is not None:
            self.taken += seconds
            self.estimated += estimate

    def seconds_left(self) -> float | None:
        """Return the seconds of all that is left, on all processes; None if there is no telling."""
        left = list(self.expected.values())
        if None in left or not self.estimated:
            return None
        return sum(filter(None, left)) * self.taken / self.estimated / self.processes


def machine() -> str:
    """Return in words what this machine is, and by what it computes."""
    memory = total_memory()
    parts = [cpu_model_line().partition(":")[2].strip() or cpu_model_line()]
    parts.append(counted(usable_cores(), "core"))
    parts += [f"{memory / 1e9:.1f} GB"] if memory else []
    return f"{', '.join(parts)}; {platform.system()}; torch {torch.__version__}"
