"""What a budget that is too small for an experiment could still show."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from groundup.base.errors import UsageError
from groundup.lab.conclusions.statistics import smallest_seen
from groundup.lab.experiment import TRAINED, Study, Values
from groundup.lab.running.costs import Costs
from groundup.lab.running.plan import Plan
from groundup.lab.running.tasks import Task
from groundup.plan.units import about, duration

METRIC = "val_loss"
"""Whose spread over seeds is known of every training, in nats."""
MARGIN = 1.2
"""How much more than its estimate a budget has, as estimates from a few steps are rough."""
Kept = Mapping[str, tuple[Values, float]]


def too_small(plan: Plan, costs: Costs, kept: Kept, budget: float, needed: float) -> UsageError:
    """Return the error that a budget is too small, with what fits into it."""
    name = plan.work.source.experiment.name
    line = (
        f"{name}: --budget {duration(budget)} is too small: it takes about {rough(needed)} on "
        f"{plan.processes} cores"
    )
    first = [t for t in plan.tasks if not t.is_trained]
    before = plan.seconds(costs.total(first)) or 0.0
    if first and before <= budget:
        line += f"; what is measured at initialisation fits, in about {rough(before)}: "
        line += "--only at-initialisation"
    trained = [s for s in plan.studies if s.kind == TRAINED and len(s.seeds) > 1]
    for study in trained[:1]:
        line += f"; {_seeds_that_fit(plan, study, costs, kept, budget - before)}"
    return UsageError(f"{line}; give --budget {enough(needed)}, or none")


def rough(seconds: float) -> str:
    """Write an estimate: no part of a second means anything."""
    return duration(max(1.0, float(round(seconds))))


def enough(seconds: float) -> str:
    """Return a budget in which work of about so many seconds fits, as --budget takes it."""
    whole = math.ceil(seconds * MARGIN)
    return f"{whole}s" if whole <= 90 else f"{math.ceil(whole / 60)}m"


def _seeds_that_fit(plan: Plan, study: Study, costs: Costs, kept: Kept, left: float) -> str:
    """Say how many seeds of a study fit and what differences they would show."""
    tasks = [task for task in plan.tasks if task.cell.study == study.name]
    a_seed = (plan.seconds(costs.total(tasks)) or math.inf) / len(study.seeds)
    fit = min(len(study.seeds), max(0, int(left / a_seed)))
    told = f"{fit} of {len(study.seeds)} seeds of the study '{study.name}' would fit"
    if fit < 2:
        return f"{told}, too few to show a difference"
    spread = _spread(study, tasks, kept)
    reach = smallest_in_spreads(fit, study)
    if spread is None:
        return (
            f"{told}, which show differences of {about(reach)} times their spread over seeds or "
            f"more (all of them {about(smallest_in_spreads(len(study.seeds), study))})"
        )
    return f"{told}, which show differences of {about(reach * spread)} nats or more"


def smallest_in_spreads(pairs: int, study: Study) -> float:
    """Return the difference that so many pairs would show, in standard deviations of a pair's.

    See `Difference.smallest_seen`.
    """
    differences = max(1, (len(study.arms) - 1) * len(study.xs))
    return smallest_seen(pairs, differences) / math.sqrt(pairs)


def _spread(study: Study, tasks: Sequence[Task], kept: Kept) -> float | None:
    """Return the standard deviation of differences to the first arm, where some are known."""
    found = {t.cell: kept[t.key][0].get(METRIC) for t in tasks if t.key in kept}
    base, spreads = study.arms[0].name, []
    for arm in study.arms[1:]:
        for x in study.xs:
            pairs = [
                (found.get(cell._replace(arm=arm.name)), value)
                for cell, value in found.items()
                if cell.arm == base and cell.x == x
            ]
            differences = [a - b for a, b in pairs if a is not None and b is not None]
            if len(differences) > 1 and all(map(math.isfinite, differences)):
                spreads.append(statistics.stdev(differences))
    return statistics.fmean(spreads) if spreads else None
