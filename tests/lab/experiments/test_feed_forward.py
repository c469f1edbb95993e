"""The feed-forward network: equal parameters, what linear is, what is concluded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from groundup.lab.experiments import feed_forward
from groundup.lab.experiments.feed_forward import equal_ffn_dim
from groundup.lab.measures.training import new_model
from tests.lab.results import losses, made, measured, settings, toy


def test_all_arms_are_as_large_within_a_hundredth(tmp_path: Path) -> None:
    for study in feed_forward.EXPERIMENT.studies(6.0):
        found = settings(replace(study, seeds=(1,)), tmp_path)
        sizes = {
            cell.arm: sum(p.numel() for p in new_model(setting).parameters())
            for cell, setting in found.items()
        }
        assert len(sizes) == 5
        assert max(sizes.values()) < 1.01 * min(sizes.values()), sizes


@pytest.mark.parametrize("width", [16, 64, 128, 768])
def test_a_gated_network_is_as_large_as_a_usual_one(width: int) -> None:
    inner = equal_ffn_dim(width)
    gated = 3 * width * inner + 2 * inner + width
    usual = 2 * width * 4 * width + 4 * width + width
    assert abs(gated - usual) <= (3 * width + 2) / 2


def test_linear_is_one_matrix(tmp_path: Path) -> None:
    study = feed_forward.EXPERIMENT.studies(1.0)[0]
    found = settings(replace(study, seeds=(1,)), tmp_path)
    linear = next(setting for cell, setting in found.items() if cell.arm == "linear")
    network = new_model(linear).blocks[0].get_submodule("ffn")
    a, b = torch.randn(2, 5, 64)
    zero = network(torch.zeros(5, 64))
    together = network(a + b) - zero
    assert torch.allclose(together, network(a) + network(b) - 2 * zero, atol=1e-6)


def test_it_comes_out_where_every_arm_does() -> None:
    study = feed_forward.EXPERIMENT.studies(1.0)[0]
    by_arm = {"gelu": 2.0, "relu_squared": 1.95, "swiglu": 1.96, "geglu": 1.96, "linear": 2.2}
    assert study.conclude(made(study, losses(by_arm))).came_out is True
    finding = study.conclude(made(study, losses({**by_arm, "swiglu": 2.05})))
    assert finding.came_out is False
    assert finding.figures["predictions"]["swiglu is better than gelu"] is False
    assert finding.figures["predictions"]["geglu is better than gelu"] is True


def test_toy_trainings_lead_to_a_verdict(tmp_path: Path) -> None:
    study = toy(feed_forward.EXPERIMENT.studies(1.0)[0], steps=2, seeds=(1, 2))
    finding = study.conclude(measured(study, tmp_path))
    assert len(finding.differences) == 4
    assert len({one.mean for one in finding.differences}) == 4
