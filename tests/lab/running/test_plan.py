from __future__ import annotations

from collections.abc import Callable

import pytest

from groundup.lab.experiment import Cell
from groundup.lab.running.costs import LONGER, SHORT, Costs
from groundup.lab.running.plan import LARGEST, fitting_scale
from groundup.lab.running.tasks import Task


def task(x: float = 0.0, arm: str = "a", steps: int = 100, likeness: str | None = None) -> Task:
    like = f"{arm} {x}" if likeness is None else likeness
    cell = Cell("study", arm, x, 1)
    return Task(index=0, cell=cell, key="", likeness=like, steps=steps, is_trained=True)


@pytest.mark.parametrize("least", [1.0, 4.0])
@pytest.mark.parametrize(
    "seconds_at",
    [
        lambda scale: 10 * scale,
        lambda scale: 10 * round(5 * scale) / 5,
        lambda scale: 5 + 5 * scale**2,
        lambda scale: 10 if scale < 8 else 300 + scale,
    ],
)
def test_a_scale_fills_its_budget_and_no_more(
    seconds_at: Callable[[float], float], least: float
) -> None:
    for budget in (100, 250, 1000):
        scale = fitting_scale(seconds_at, least, budget)
        assert scale >= least
        assert seconds_at(scale) <= budget
    assert seconds_at(fitting_scale(seconds_at, least, 1000)) > 500


def test_a_training_is_timed_by_a_few_of_its_steps() -> None:
    costs = Costs()
    assert costs.total([task()]) is None
    costs.add_timing(task(), 0.5 + SHORT * 0.01, 0.5 + LONGER * 0.01)
    assert costs.of(task()) == pytest.approx(0.5 + 100 * 0.01)
    assert costs.of(task(steps=1000)) == pytest.approx(0.5 + 1000 * 0.01)


def test_between_two_values_cells_take_what_lies_between() -> None:
    costs = Costs()
    costs.add(task(8), 1.0)
    costs.add(task(48), 5.0)
    assert costs.of(task(28)) == pytest.approx(3.0)
    assert costs.of(task(28, arm="b")) == pytest.approx(3.0)
    assert costs.of(task(96)) == pytest.approx(5.0)
    assert costs.total([task(8), task(28), task(48)]) == pytest.approx(9.0)


def test_what_was_measured_before_need_not_be_timed() -> None:
    costs = Costs()
    tasks = [task(x, arm) for x in (1, 2, 3) for arm in "abc"]
    chosen = costs.to_time(tasks)
    assert [(t.cell.arm, t.cell.x) for t in chosen] == [("a", 1), ("a", 3), ("c", 3)]
    costs.add(chosen[0], 1.0)
    assert costs.to_time(tasks) == chosen[1:]


def test_a_scale_does_not_run_away_where_nothing_that_is_run_grows() -> None:
    assert fitting_scale(lambda scale: 0.001, 1.0, 3600) == 1.0
    assert fitting_scale(lambda scale: 1e-6 * scale, 2.0, 3600) <= 2 * LARGEST
