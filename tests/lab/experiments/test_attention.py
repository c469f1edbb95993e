"""Attention: what is held equal, the spread of scores against the formula, what is concluded."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from groundup.config.shapes import parameter_shapes
from groundup.lab.experiment import Arm, Cell, Study, Values
from groundup.lab.experiments import attention
from groundup.lab.experiments.attention import PRODUCT, ROOT, SHARED, WHOLE
from groundup.lab.measures.training import new_model
from tests.lab.results import losses, made, measured, settings, toy


def study(name: str, scale: float = 1.0) -> Study:
    return next(one for one in attention.EXPERIMENT.studies(scale) if one.name == name)


def test_scores_spread_as_the_formula_says(tmp_path: Path) -> None:
    scores = replace(study("scores"), seeds=tuple(range(1, 7)), xs=(8.0, 32.0))
    results = measured(scores, tmp_path)
    for x in scores.xs:
        for arm, expected in {PRODUCT: math.sqrt(x), ROOT: 1.0, WHOLE: 1 / math.sqrt(x)}.items():
            found = statistics.fmean(results.numbers("spread_of_scores", arm, x))
            assert found == pytest.approx(expected, rel=0.15), (arm, x)
    shares = [statistics.fmean(results.numbers("entropy_share", a, 32.0)) for a in (PRODUCT, WHOLE)]
    assert shares[0] < 0.4 < 0.9 < shares[1] <= 1.0
    finding = scores.conclude(results)
    assert finding.came_out is True
    assert "of the largest entropy" in finding.verdict


def test_queries_and_keys_that_start_so_have_variance_1(tmp_path: Path) -> None:
    scores = replace(study("scores"), seeds=(1,), xs=(128.0,))
    setting = next(iter(settings(scores, tmp_path).values()))
    query = dict(new_model(setting).named_parameters())["blocks.0.attn.query.weight"]
    assert float(query.detach().square().sum(1).mean()) == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_arms_of_heads_are_as_large_within_a_hundredth(tmp_path: Path, scale: float) -> None:
    heads = study("heads", scale)
    sizes = {
        cell.arm: sum(one.size for one in parameter_shapes(setting.config))
        for cell, setting in settings(replace(heads, seeds=(1,)), tmp_path).items()
    }
    assert len(sizes) == len(heads.arms)
    assert max(sizes.values()) < 1.01 * min(sizes.values()), sizes


def test_a_cache_keeps_a_quarter_where_four_heads_share_one() -> None:
    heads = study("heads")
    even = made(heads, losses({arm.name: 2.0 for arm in heads.arms}))
    sizes = heads.conclude(even).figures["cache_numbers"]
    assert sizes == {"4 heads": 256, "1 head": 256, SHARED: 64}


def test_heads_come_out_where_one_is_worse_and_sharing_costs_little() -> None:
    heads = study("heads")
    by_arm = {"4 heads": 2.0, "1 head": 2.1, SHARED: 2.01}
    assert heads.conclude(made(heads, losses(by_arm))).came_out is True
    for other, came_out in (
        ({"1 head": 1.9}, False),
        ({SHARED: 2.2}, False),
        ({"1 head": 2.0}, None),
    ):
        assert heads.conclude(made(heads, losses({**by_arm, **other}))).came_out is came_out


def test_a_window_comes_out_where_the_smallest_alone_is_worse() -> None:
    window = study("window")
    by_arm = {"all 128": 2.0, "window 16": 2.0, "window 4": 2.2}
    assert window.conclude(made(window, losses(by_arm))).came_out is True
    assert window.conclude(made(window, losses({**by_arm, "window 4": 1.9}))).came_out is False


def test_a_window_reaches_the_model(tmp_path: Path) -> None:
    found = settings(study("window"), tmp_path)
    windows = {cell.arm: setting.config.window for cell, setting in found.items()}
    assert windows == {"all 128": None, "window 16": 16, "window 4": 4}


@pytest.mark.parametrize("name", ["heads", "window"])
def test_toy_trainings_lead_to_a_verdict(tmp_path: Path, name: str) -> None:
    small = toy(study(name), steps=3, seeds=(1, 2))
    arms = small.arms if name == "window" else [_small_heads(arm.name) for arm in small.arms[:3]]
    small = replace(small, arms=arms)
    finding = small.conclude(measured(small, tmp_path))
    assert len(finding.differences) == len(arms) - 1


def _small_heads(name: str) -> Arm:
    heads, shared = {"4 heads": (4, 4), "1 head": (1, 1), SHARED: (4, 1)}[name]
    return Arm(name=name, model={"n_heads": heads, "n_kv_heads": shared})


def test_a_lost_arm_is_told() -> None:
    heads = study("heads")
    good = losses({arm.name: 2.0 for arm in heads.arms})

    def values(cell: Cell) -> Values:
        lost = {"val_loss": math.inf, "train_loss": math.inf, "lost": True}
        return {**good(cell), **lost} if cell.arm == "1 head" else good(cell)

    finding = heads.conclude(made(heads, values))
    assert "1 head (lost in 5 of 5 seeds)" in finding.verdict
    assert finding.figures["predictions"]["1 head is worse"] is None
