from __future__ import annotations

import math
from pathlib import Path

import pytest

from groundup.lab.conclusions.law import Law
from groundup.lab.experiment import Cell, Values
from groundup.lab.experiments.scaling import EXPERIMENT
from groundup.plan.count import count_parameters
from tests.lab.results import made, measured, run, settings, toy

STUDY = EXPERIMENT.studies(EXPERIMENT.least)[0]
LAW = Law(irreducible=1.2, size=0.3, size_exponent=0.4, data=0.4, data_exponent=0.5)
LARGEST = STUDY.arms[-1].name


def values(cell: Cell, better: float = 0.0) -> Values:
    n, tokens = 1000.0 * 4 ** [arm.name for arm in STUDY.arms].index(cell.arm), 512 * cell.x
    loss = LAW.loss(n, tokens) + 1e-4 * ((cell.seed * 3 + int(cell.x)) % 5)
    loss -= better * (cell.arm == LARGEST)
    return run(loss, parameters=n, tokens=tokens)


@pytest.mark.parametrize(("better", "came_out"), [(0.0, True), (0.1, False)])
def test_the_largest_is_told_by_the_others(better: float, came_out: bool) -> None:
    finding = STUDY.conclude(made(STUDY, lambda cell: values(cell, better)))
    assert finding.came_out is came_out
    assert finding.figures["told"] - finding.figures["reached"] == pytest.approx(better, abs=0.005)
    assert finding.figures["law"]["size_exponent"] == pytest.approx(0.4, abs=0.05)
    low, high = finding.figures["data_exponent_interval"]
    assert low <= finding.figures["law"]["data_exponent"] <= high
    assert len(finding.tables[0].rows) == 20


def test_a_lost_training_is_told() -> None:
    finding = STUDY.conclude(made(STUDY, lambda cell: run(math.inf, parameters=1, tokens=1)))
    assert finding.came_out is None


def test_it_counts_what_it_trains(tmp_path: Path) -> None:
    study = toy(STUDY, seeds=(1,), xs=(20.0,), arms=STUDY.arms[:1])
    (cell, setting), *_ = settings(study, tmp_path).items()
    found = measured(study, tmp_path).values[cell]
    assert found["parameters"] == count_parameters(setting.config).total
    assert found["tokens"] == 20 * 2 * 16


def test_the_rate_falls_with_the_width() -> None:
    for cell in STUDY.cells():
        setting = STUDY.setting(cell, 40, "")
        assert (setting.train.learning_rate or 0) * setting.config.emb_dim == pytest.approx(0.2)


def test_more_time_is_more_seeds_then_a_larger_one_to_tell() -> None:
    shapes = []
    for scale in (1, 3, 6, 7):
        (study,) = EXPERIMENT.studies(scale)
        shapes.append((len(study.seeds), study.arms[-1].name, study.xs[-1]))
    assert shapes == [
        (5, "128 wide", 667), (5, "128 wide", 2000), (10, "128 wide", 2000), (5, "192 wide", 2000)
    ]  # fmt: skip
