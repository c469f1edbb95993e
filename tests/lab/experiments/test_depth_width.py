"""Depth against width: the shapes are of one size, and what is concluded from made-up figures."""

from __future__ import annotations

import pytest

from groundup.lab.experiment import Results
from groundup.lab.experiments.depth_width import (
    EXPERIMENT,
    MIDDLE,
    RATE,
    SHAPES,
    conclude_rates,
    conclude_shapes,
    shape_study,
    train_and_time,
)
from groundup.lab.measures.training import PLAIN
from groundup.model import GPT
from tests.lab.results import made_up


def test_shapes_have_the_same_weights_in_their_blocks_within_a_percent():
    weights = [12 * shape.n_layers * shape.emb_dim**2 for shape in SHAPES]
    assert max(weights) / min(weights) < 1.015
    assert all(14 < shape.emb_dim / shape.n_heads < 17 for shape in SHAPES)


def test_a_cell_is_trained_timed_and_counted(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat and the dog lay by the log. " * 500)
    study = shape_study({**PLAIN, "steps": 2, "learning_rate": RATE}, (1,))
    setting = study.setting(study.cells()[2], vocab_size=17, text=str(text))
    values = train_and_time(setting)
    model = GPT(setting.config)
    count = {name: p.numel() for name, p in model.named_parameters()}
    assert values["all_parameters"] == sum(count.values())
    assert values["block_parameters"] == sum(n for name, n in count.items() if "blocks." in name)
    assert values["tokens_per_second"] > 0
    assert len(values["curve"]) == 2


def shapes(losses: list[float]) -> Results:
    cells = {
        shape.name: [
            {
                "train_loss": loss + seed / 1000 * (1 + i),
                "tokens_per_second": 30_000.0 / shape.n_layers,
                "block_parameters": 200_000,
                "all_parameters": 210_000,
            }
            for seed in (-1, 0, 1)
        ]
        for i, (shape, loss) in enumerate(zip(SHAPES, losses, strict=True))
    }
    arms = shape_study({}, (1, 2, 3)).arms
    return made_up(cells, arms=arms)


def test_losses_within_three_percent_are_as_predicted():
    finding = conclude_shapes(shapes([2.51, 2.49, 2.50, 2.52, 2.55]))
    assert finding.came_out
    assert finding.figures["largest_relative_difference"] == pytest.approx(0.02)
    assert "2 x 90 ends lowest (2.490 nats) and 16 x 32 highest (2.550)" in finding.verdict
    assert "at most 2.0% away" in finding.verdict
    assert {d.against for d in finding.differences} == {MIDDLE}


def test_a_shape_further_off_refutes_it():
    assert not conclude_shapes(shapes([2.51, 2.49, 2.50, 2.52, 2.60])).came_out


@pytest.mark.parametrize(("best_of_deep", "came_out"), [(2.55, True), (2.45, False)])
def test_one_rate_for_all_must_choose_the_shape_that_is_best_at_its_own(best_of_deep, came_out):
    cells = {
        arm: {rate: [{"train_loss": loss, "trains": True}] for rate, loss in at.items()}
        for arm, at in {
            "1 x 128": {1e-3: 2.6, RATE: 2.5},
            "16 x 32": {1e-3: best_of_deep, RATE: 2.6},
        }.items()
    }
    assert conclude_rates(made_up(cells, seeds=(1,))).came_out is came_out


@pytest.mark.parametrize("scale", [1, 3])
def test_all_cells_are_made(scale):
    for study in EXPERIMENT.studies(scale):
        settings = [study.setting(cell, 65, "a text") for cell in study.cells()]
        assert len(
            {(s.config.n_layers, s.train.learning_rate, s.cell.seed) for s in settings}
        ) == len(settings)
