from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from groundup.lab.experiment import Cell, Setting, Study, Values
from groundup.lab.experiments.batch import (
    EXPERIMENT,
    MOMENTS,
    WINDOW,
    best_steps,
    fitted,
    measure_noise,
    measure_steps,
)
from tests.lab.results import TOY, made, run, settings

NOISE, STEPS = EXPERIMENT.studies(EXPERIMENT.least)
FACTORS = {"half the rate": 1.4, "the rate": 1.0, "twice the rate": 1.2}


def test_seeds() -> None:
    """Five at least, and more with more time."""
    assert [len(study.seeds) for study in (NOISE, STEPS)] == [5, 5]
    assert [len(study.seeds) for study in EXPERIMENT.studies(2 * EXPERIMENT.least)] == [10, 10]


def growing(times: float) -> dict[float, float]:
    """Return noise scales that grow so many times from step 30 to the last, evenly in logs."""
    power = math.log(times) / math.log(MOMENTS[-1] / 30)
    return {x: 20 * (x / 30) ** power for x in MOMENTS}


@pytest.mark.parametrize(("times", "came_out"), [(10, True), (1.5, False)])
def test_noise_that_grows(times: float, came_out: bool) -> None:
    scales = growing(times)

    def values(cell: Cell) -> Values:
        return run(2.0, noise_scale=scales[cell.x] * (1 + 0.05 * cell.seed))

    finding = NOISE.conclude(made(NOISE, values))
    assert finding.came_out is came_out
    assert finding.figures["growth"] == pytest.approx(times)


def test_noise_without_a_signal_is_told() -> None:
    finding = NOISE.conclude(made(NOISE, lambda cell: run(2.0, noise_scale=math.inf)))
    assert finding.came_out is None


def steps_to_loss(noise: float) -> Callable[[Cell], Values]:
    def values(cell: Cell) -> Values:
        steps = 100 * (1 + 24 / cell.x) * FACTORS[cell.arm] * (1 + 0.02 * cell.seed)
        return run(2.0, steps=steps, noise_scale=noise, target=2.4)

    return values


@pytest.mark.parametrize(("noise", "came_out"), [(30.0, True), (300.0, False)])
def test_the_critical_batch_beside_the_noise(noise: float, came_out: bool) -> None:
    finding = STEPS.conclude(made(STEPS, steps_to_loss(noise)))
    assert finding.came_out is came_out
    assert finding.figures["critical_batch"] == pytest.approx(24)
    assert finding.figures["fewest_steps"] == pytest.approx(106), "at the mean of the seeds, 3"
    low, high = finding.figures["critical_batch_interval"]
    assert low == pytest.approx(high), "seeds differ in the steps of all sizes alike"


def test_a_rate_that_does_not_get_there_is_left_out() -> None:
    def values(cell: Cell) -> Values:
        stuck = cell.arm == "the rate" or cell.x == 128
        return run(2.0, steps=math.inf if stuck else 100.0, noise_scale=9.0, target=2.4)

    results = made(STEPS, values)
    assert 128 not in best_steps(results)
    assert set(best_steps(results)) == set(STEPS.xs) - {128}
    notes = " ".join(STEPS.conclude(results).notes)
    assert "batch 128" in notes
    assert f"The interval is of {len(STEPS.seeds)} seeds" in notes


def test_too_few_sizes_are_told() -> None:
    def values(cell: Cell) -> Values:
        return run(2.0, steps=math.inf, noise_scale=math.inf, target=2.4)

    assert STEPS.conclude(made(STEPS, values)).came_out is None


def test_the_fit_of_a_law() -> None:
    fewest, critical = fitted({x: 80 * (1 + 50 / x) for x in (1, 4, 16, 64)})
    assert (fewest, critical) == pytest.approx((80, 50))


def one_cell(study: Study, x: float, folder: Path) -> Setting:
    options = {"n_batches": 8}
    small = replace(study, model={**study.model, **TOY}, seeds=(1,), xs=(x,), options=options)
    return next(iter(settings(small, folder).values()))


def test_it_measures_noise(tmp_path: Path) -> None:
    setting = one_cell(NOISE, 5.0, tmp_path)
    found = measure_noise(setting)
    assert len(found["curve"]) == 5
    assert found["noise_scale"] > 0


def test_it_measures_steps_until_the_loss_is_reached(tmp_path: Path) -> None:
    setting = one_cell(STEPS, 16.0, tmp_path)
    reached = measure_steps(setting)
    assert 8 < reached["steps"] < setting.train.steps / 2
    n_steps, width = len(reached["curve"]), WINDOW // 16
    last = sum(reached["curve"][-width:]) / width
    assert reached["steps"] == n_steps - (width - 1) / 2
    assert last < reached["target"] <= sum(reached["curve"][-width - 1 : -1]) / width
    assert reached["noise_scale"] > 0


def test_a_loss_that_is_not_reached(tmp_path: Path) -> None:
    setting = one_cell(STEPS, 64.0, tmp_path)
    few = replace(setting, train=replace(setting.train, steps=3))
    assert measure_steps(few)["steps"] == math.inf
