"""The norm experiment: its own parts against formulas, its conclusions against made-up figures."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from groundup import GPT, GPTConfig
from groundup.lab.experiments.norm import AFTER, BEFORE, EXPERIMENT, NONE, RMS, SQUASHED, at_start
from groundup.lab.measures.initialisation import first_batch
from groundup.lab.measures.parts import OWN, DynamicTanh
from groundup.lab.measures.training import new_model
from tests.lab.results import concluded, few, measured, named, settings, trained_tokens

DEFAULT = EXPERIMENT.studies(1)
MORE = EXPERIMENT.studies(3)
SMALL: dict[str, Any] = {
    "vocab_size": 30,
    "n_layers": 1,
    "emb_dim": 8,
    "n_heads": 2,
    "context_length": 8,
}


def test_the_original_block_norms_the_sum():
    model: Any = GPT(GPTConfig(norm_order="original", **SMALL), parts=OWN)
    block = model.blocks[0]
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(2, 8, 8)

    def norm(x: torch.Tensor, of: Any) -> torch.Tensor:
        return F.layer_norm(x, (8,), of.weight, of.bias, 1e-5)

    middle = norm(x + block.attn(x), block.attn_norm)
    expected = norm(middle + block.ffn(middle), block.ffn_norm)
    torch.testing.assert_close(block(x), expected)


def test_the_squashing_takes_each_number_by_itself():
    squash = DynamicTanh(3, 1e-5, True)
    with torch.no_grad():
        squash.alpha.fill_(2.0)
        squash.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
        squash.bias.fill_(0.5)
    made = squash(torch.tensor([[0.1, -1.0, 50.0]]))
    torch.testing.assert_close(made, torch.tensor([[0.6973753, -1.4280552, 3.5]]))


def test_without_norms_a_model_has_none_to_learn():
    model = GPT(GPTConfig(norm="none", **SMALL), parts=OWN)
    assert not [name for name, _ in model.named_parameters() if "norm" in name]


def test_the_gradient_is_that_of_the_last_down_projection(tmp_path):
    study = few(named(DEFAULT, "gradient-by-depth"))
    _, setting, *_ = settings(study, tmp_path).values()
    model: Any = new_model(setting)
    tokens, targets = first_batch(setting, 1)
    loss = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
    (gradient,) = torch.autograd.grad(loss, [model.blocks[-1].ffn.down.weight])
    assert at_start(setting)["gradient"] == pytest.approx(gradient.square().sum().sqrt().item())


@pytest.mark.parametrize(
    ("power", "came_out"), [(-0.5, True), (-0.58, True), (-0.3, False), (0.0, False)]
)
def test_the_prediction_of_the_gradient_is_its_slope_with_xavier_before(power, came_out):
    def values(cell: Any) -> dict[str, float]:
        return {"gradient": cell.x ** (power if cell.arm == "Xavier before" else 0.0)}

    finding = concluded(DEFAULT, "gradient-by-depth", values)
    assert finding.came_out is came_out
    assert finding.figures["slopes"]["Xavier before"]["slope"] == pytest.approx(power)


@pytest.mark.parametrize(("grows", "came_out"), [(1.0, True), (0.0, False)])
def test_the_stream_is_predicted_to_grow_where_nothing_is_shrunk(grows, came_out):
    def values(cell: Any) -> dict[str, float]:
        return {"variance": cell.x ** (grows if cell.arm == "Xavier unshrunk" else 0.0)}

    assert concluded(DEFAULT, "stream-by-depth", values).came_out is came_out


@pytest.mark.parametrize(
    ("largest", "lost", "came_out"),
    [
        ({}, NONE, True),
        ({NONE: 0.03}, NONE, False),
        ({AFTER: 0.03}, NONE, False),
        ({RMS: 0.01}, NONE, False),
        ({NONE: 0.0}, NONE, True),
        ({}, AFTER, False),
        ({}, "", False),
    ],
)
def test_the_prediction_of_the_largest_rate_has_four_parts(largest, lost, came_out):
    limits = {NONE: 0.01, AFTER: 0.01, **largest}

    def values(cell: Any) -> dict[str, Any]:
        trains = cell.x <= limits.get(cell.arm, 0.03)
        return {
            "train_loss": 2.5 if trains else 3.3,
            "trains": trains,
            "lost": cell.arm == lost and not trains,
            "unigram_entropy": 3.3,
        }

    finding = concluded(DEFAULT, "largest-rate", values)
    assert finding.came_out is came_out
    assert finding.figures["largest_that_trains"][BEFORE] == 0.03


def test_the_losses_are_compared_with_the_norm_before():
    higher = {NONE: 0.1, AFTER: 0.05}

    def values(cell: Any) -> dict[str, float]:
        chance = 0.001 * ((7 * cell.seed + len(cell.arm)) % 5)
        return {"val_loss": 2.5 + higher.get(cell.arm, 0.0) + chance}

    finding = concluded(DEFAULT, "loss", values)
    assert finding.came_out is True
    assert {d.arm for d in finding.differences if d.seen and d.mean > 0} == {NONE, AFTER}
    higher[AFTER] = -0.05
    assert concluded(DEFAULT, "loss", values).came_out is False


@pytest.mark.parametrize(("squashed", "came_out"), [(0.03, True), (0.01, False)])
def test_a_squashing_is_predicted_to_train_where_nothing_does_not(squashed, came_out):
    limits = {SQUASHED: squashed, NONE: 0.01, BEFORE: 0.03}

    def values(cell: Any) -> dict[str, Any]:
        trains = cell.x <= limits[cell.arm]
        return {"train_loss": 2.5 if trains else 3.3, "trains": trains, "unigram_entropy": 3.3}

    assert concluded(MORE, "squash-largest-rate", values).came_out is came_out


@pytest.mark.parametrize(
    ("warm_after", "warm_before", "came_out"),
    [(0.03, 0.03, True), (0.01, 0.03, False), (0.03, 0.1, False)],
)
def test_a_warm_up_is_predicted_to_help_the_norm_after_alone(warm_after, warm_before, came_out):
    limits = {
        f"{AFTER} without warm-up": 0.01,
        f"{AFTER} with warm-up": warm_after,
        f"{BEFORE} without warm-up": 0.03,
        f"{BEFORE} with warm-up": warm_before,
    }

    def values(cell: Any) -> dict[str, Any]:
        trains = cell.x <= limits[cell.arm]
        return {"train_loss": 2.5 if trains else 3.3, "trains": trains, "unigram_entropy": 3.3}

    assert concluded(MORE, "warm-up", values).came_out is came_out


@pytest.mark.parametrize("name", [study.name for study in MORE])
def test_each_study_runs_and_concludes(name, tmp_path):
    small = few(named(MORE, name))
    finding = small.conclude(measured(small, tmp_path))
    assert finding.verdict.endswith(".")
    assert finding.tables
    assert finding.charts


def test_what_a_budget_adds_fits_in_it():
    tokens = trained_tokens(DEFAULT)
    assert tokens < 14_000_000, "7.5 minutes of one core at 31,000 tokens a second"
    assert len(MORE) > len(DEFAULT)
    for scale in (2, 3, 5, 8, 10, 12, 30):
        assert trained_tokens(EXPERIMENT.studies(scale)) <= scale * tokens, scale
