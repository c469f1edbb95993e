from __future__ import annotations

from pathlib import Path

import pytest

from groundup.lab.experiment import Cell, Setting, Study, Values
from groundup.lab.experiments.schedule import COLD, CONSTANT, EXPERIMENT, TENTH, WARM, WSD, ZERO
from groundup.optim.schedule import learning_rate
from tests.lab.results import losses, made, measured, run, settings, toy

DECAY, WARM_UP = EXPERIMENT.studies(1)
AS_PREDICTED = {ZERO: 2.0, TENTH: 2.05, CONSTANT: 2.1, WSD: 2.005}


def rates(study: Study, folder: Path, step: int) -> dict[tuple[str, float], float]:
    """Return the rate of each arm at a step (from 0; -1 is the last), as a share of its peak."""

    def share(setting: Setting) -> float:
        train = setting.train
        return learning_rate(step % train.steps, train) / (train.learning_rate or 1)

    found = settings(study, folder)
    return {(c.arm, c.x): share(setting) for c, setting in found.items() if c.seed == 1}


def test_the_rate_ends_as_each_arm_says(tmp_path: Path) -> None:
    ends = {arm: rate for (arm, _), rate in rates(DECAY, tmp_path, -1).items()}
    assert ends == pytest.approx({ZERO: 0, TENTH: 0.1, CONSTANT: 1, WSD: 0}, abs=1e-9)
    three_quarters = {arm: rate for (arm, _), rate in rates(DECAY, tmp_path, 480).items()}
    assert three_quarters[WSD] == 1
    assert three_quarters[ZERO] < 0.3


def test_the_rate_begins_as_each_arm_says(tmp_path: Path) -> None:
    begins = rates(WARM_UP, tmp_path, 0)
    assert [rate for (arm, _), rate in begins.items() if arm == COLD] == [1.0] * 3
    assert [rate for (arm, _), rate in begins.items() if arm == WARM] == pytest.approx([1 / 36] * 3)


def test_the_ends_come_out_as_predicted() -> None:
    finding = DECAY.conclude(made(DECAY, losses(AS_PREDICTED)))
    assert finding.came_out is True
    assert len(finding.differences) == 6


@pytest.mark.parametrize("other", [{CONSTANT: 1.9}, {TENTH: 1.95}, {WSD: 2.1}])
def test_the_ends_do_not_come_out(other: dict[str, float]) -> None:
    finding = DECAY.conclude(made(DECAY, losses(AS_PREDICTED | other)))
    assert finding.came_out is False


def test_it_must_come_out_at_either_rate() -> None:
    def values(cell: Cell) -> Values:
        better = 0.5 if cell.arm == CONSTANT and cell.x == 3e-3 else 0.0
        return run(AS_PREDICTED[cell.arm] - better + 0.001 * ((cell.seed + len(cell.arm)) % 3))

    assert DECAY.conclude(made(DECAY, values)).came_out is False


def test_an_end_that_the_seeds_leave_open_is_not_told() -> None:
    def values(cell: Cell) -> Values:
        noise = 0.03 * (cell.seed - 3) if cell.arm == WSD else 0.001 * (cell.seed % 2)
        return run(AS_PREDICTED[cell.arm] + noise)

    assert DECAY.conclude(made(DECAY, values)).came_out is None


@pytest.mark.parametrize(("cold_at_high", "came_out"), [(0.3, True), (0.0, None), (-0.3, False)])
def test_warm_up_is_for_high_rates(cold_at_high: float, came_out: bool | None) -> None:
    def values(cell: Cell) -> Values:
        more = cold_at_high if cell.arm == COLD and cell.x > 0.02 else 0.0
        return run(2.0 + more + 0.001 * ((cell.seed * 3 + len(cell.arm)) % 4))

    finding = WARM_UP.conclude(made(WARM_UP, values))
    assert finding.came_out is came_out
    assert len(finding.differences) == 3


def test_all_runs_lost_is_told() -> None:
    finding = WARM_UP.conclude(made(WARM_UP, lambda cell: run(float("inf"))))
    assert finding.came_out is None
    assert "cannot be told" in finding.verdict


@pytest.mark.parametrize("study", [DECAY, WARM_UP], ids=lambda study: study.name)
def test_it_runs(study: Study, tmp_path: Path) -> None:
    small = toy(study, seeds=(1, 2), xs=study.xs[-1:])
    assert small.conclude(measured(small, tmp_path)).verdict
