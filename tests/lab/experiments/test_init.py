"""The init experiment: its measurements by hand, its conclusions against made-up figures."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch.nn.functional as F

from groundup.lab.experiments.init import (
    EXPERIMENT,
    FIRST_STDS,
    LARGE,
    OURS,
    SMALL,
    STDS,
    UNSHRUNK,
    first_loss,
)
from groundup.lab.measures.initialisation import NormalStart, first_batch
from groundup.lab.measures.training import new_model
from tests.lab.results import concluded, few, measured, named, settings, trained_tokens

DEFAULT = EXPERIMENT.studies(1)


def test_the_first_loss_is_compared_with_that_of_equal_chances(tmp_path):
    study = few(named(DEFAULT, "first-loss"))
    setting, *_ = settings(study, tmp_path).values()
    model = new_model(setting).eval()
    tokens, targets = first_batch(setting, 4)
    logits = model(tokens).detach()
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten()).item()
    found = first_loss(setting)
    assert found["loss"] == pytest.approx(loss, rel=1e-6)
    assert found["excess"] == pytest.approx(loss - math.log(setting.config.vocab_size), abs=1e-6)
    assert found["logits"] == pytest.approx(logits.var(-1, correction=0).mean().item(), rel=1e-5)


@pytest.mark.parametrize(("times", "came_out"), [(1.0, True), (1.15, True), (1.3, False)])
def test_the_first_loss_is_predicted_from_the_width(times, came_out):
    def values(cell: Any) -> dict[str, float]:
        variance = FIRST_STDS[cell.arm] ** 2 * cell.x
        chance = 1e-6 * (cell.seed % 3 - 1)
        return {"loss": 0.0, "logits": variance, "excess": times * variance / 2 + chance}

    finding = concluded(DEFAULT, "first-loss", values)
    assert finding.came_out is came_out
    ratios = finding.figures["measured_over_predicted"]
    assert ratios["excess, 0.02"]["ratio"] == pytest.approx(times, rel=1e-3)
    assert ratios["logits, 0.1"]["ratio"] == pytest.approx(1)


@pytest.mark.parametrize(("shrunk", "came_out"), [(0.0, True), (0.5, False)])
def test_a_shrunk_stream_is_predicted_flat(shrunk, came_out):
    def values(cell: Any) -> dict[str, float]:
        return {"variance": cell.x ** (shrunk if cell.arm == OURS else 1.0)}

    assert concluded(DEFAULT, "stream-by-depth", values).came_out is came_out


@pytest.mark.parametrize(
    ("losses", "came_out"),
    [
        ({0.0006: 2.6, 0.6: 2.9}, True),
        ({0.0006: 2.6, 0.6: math.inf}, True),
        ({0.0006: 2.95, 0.6: 2.9}, False),
        ({0.0006: 2.55, 0.6: 2.56}, False),
        ({0.0006: 2.4, 0.6: 2.9}, False),
        (dict.fromkeys(STDS, math.inf), False),
    ],
)
def test_the_standard_deviation_is_predicted_to_be_best_in_the_middle(losses, came_out):
    def values(cell: Any) -> dict[str, Any]:
        loss = losses.get(cell.x, 2.5 if cell.x == 0.02 else 2.55)
        return {"train_loss": loss, "trains": loss < 3.2, "unigram_entropy": 3.3}

    finding = concluded(DEFAULT, "standard-deviation", values)
    assert finding.came_out is came_out


def test_the_swept_deviation_is_that_of_the_start():
    study = named(DEFAULT, "standard-deviation")
    starts = [study.setting(cell, 69, "").start for cell in study.cells()]
    assert starts == [NormalStart(std, shrunk) for std in STDS for shrunk in (True, False)]


def test_the_losses_are_compared_with_our_start():
    higher = {SMALL: 0.1, LARGE: 0.2}

    def values(cell: Any) -> dict[str, float]:
        chance = 0.001 * ((7 * cell.seed + len(cell.arm)) % 5)
        return {"val_loss": 2.5 + higher.get(cell.arm, 0.0) + chance}

    assert concluded(DEFAULT, "loss", values).came_out is True
    assert concluded(DEFAULT, "loss-deep", values).came_out is None
    higher[UNSHRUNK] = 0.1
    assert concluded(DEFAULT, "loss", values).came_out is False
    assert concluded(DEFAULT, "loss-deep", values).came_out is True


@pytest.mark.parametrize("name", [study.name for study in DEFAULT])
def test_each_study_runs_and_concludes(name, tmp_path):
    small = few(named(DEFAULT, name))
    finding = small.conclude(measured(small, tmp_path))
    assert finding.verdict.endswith(".")
    assert finding.tables
    assert finding.charts


def test_what_a_budget_adds_fits_in_it():
    tokens = trained_tokens(DEFAULT)
    assert tokens < 11_000_000, "of which 1.5 million are 12 deep"
    for scale in (2, 4, 6, 8, 12, 30):
        more = EXPERIMENT.studies(scale)
        deep = named(more, "loss-deep").model["n_layers"] / 12
        dear = trained_tokens([named(more, "loss-deep")]) * (deep - 1)
        assert trained_tokens(more) + dear <= scale * tokens, scale
