from __future__ import annotations

from pathlib import Path

import pytest

from groundup.lab.experiment import Cell, Values
from groundup.lab.experiments.optimizer import (
    ADAMW,
    DECAYED,
    EXPERIMENT,
    MUON,
    SIGN,
    at_their_best,
    in_equal_time,
)
from tests.lab.results import made, measured, run, toy

STUDY = EXPERIMENT.studies(1)[0]
LOSSES = {MUON: 2.0, ADAMW: 2.2, SIGN: 2.5, DECAYED: 2.2}


def loss(cell: Cell) -> float:
    """Best in the middle of the grid, and a little else for each seed."""
    return LOSSES[cell.arm] + abs(cell.x - 1) + 0.002 * ((cell.seed + len(cell.arm)) % 3)


def values(cell: Cell) -> Values:
    seconds = 3.0 if cell.arm == MUON else 2.0
    return run(loss(cell), cpu_seconds=seconds)


def test_the_arms_are_compared_each_at_its_best_rate() -> None:
    finding = EXPERIMENT.studies(1)[0].conclude(made(STUDY, values))
    by_arm = {d.arm: d.mean for d in finding.differences}
    assert by_arm == pytest.approx({MUON: -0.2, SIGN: 0.3}, abs=0.005)
    assert finding.came_out is True
    assert finding.notes == () or not any("end of its grid" in note for note in finding.notes)


def test_a_prediction_that_fails_is_told_as_such() -> None:
    def worse_muon(cell: Cell) -> Values:
        return run(loss(cell) + 0.5 * (cell.arm == MUON))

    assert STUDY.conclude(made(STUDY, worse_muon)).came_out is False


def test_a_seed_has_no_part_in_the_choice_of_its_own_rate() -> None:
    def one_lucky_seed(cell: Cell) -> Values:
        lucky = cell.arm == MUON and cell.seed == 3 and cell.x == 4.0
        return run(0.5 if lucky else loss(cell))

    best = at_their_best(made(STUDY, one_lucky_seed))
    assert best.numbers("val_loss", MUON)[2] == pytest.approx(2.0, abs=0.005)


def test_a_rate_at_which_a_run_is_lost_is_not_chosen() -> None:
    def lost_in_the_middle(cell: Cell) -> Values:
        return run(float("nan") if cell.x == 1.0 and cell.seed < 3 else loss(cell))

    best = at_their_best(made(STUDY, lost_in_the_middle))
    assert all(value == value for value in best.numbers("val_loss", ADAMW))


def test_a_best_rate_at_the_end_of_the_grid_is_told() -> None:
    def better_and_better(cell: Cell) -> Values:
        return run(LOSSES[cell.arm] - 0.1 * cell.x)

    notes = STUDY.conclude(made(STUDY, better_and_better)).notes
    assert [note for note in notes if note.startswith(f"{SIGN} was best at an end of its grid, 4")]


def test_in_equal_time_the_slower_has_taken_fewer_steps() -> None:
    reached = in_equal_time(at_their_best(made(STUDY, values)))
    assert reached[ADAMW] == pytest.approx(4 - 1.8 * 0.95, abs=0.05)
    assert reached[MUON] == pytest.approx(4 - 2.0 * 0.95 * 2 / 3, abs=0.05)


def test_rates_are_on_grids_of_the_same_width(tmp_path: Path) -> None:
    size = 40
    rates = {cell: STUDY.setting(cell, size, "").train for cell in STUDY.cells() if cell.seed == 1}
    for arm in [arm.name for arm in STUDY.arms]:
        of_arm = [train.learning_rate or 0 for cell, train in rates.items() if cell.arm == arm]
        assert of_arm[-1] / of_arm[0] == pytest.approx(16)
    muons = [t.peak_muon_learning_rate for cell, t in rates.items() if cell.arm == MUON]
    assert muons == pytest.approx([0.005, 0.01, 0.02, 0.04, 0.08])


def test_it_runs_and_more_time_adds_weight_decay(tmp_path: Path) -> None:
    study = toy(EXPERIMENT.studies(2)[0], xs=(1.0,), seeds=(1, 2))
    assert study.arms[-1].name == DECAYED
    assert study.conclude(measured(study, tmp_path)).verdict
