"""Blocks left out and swapped, against a forward pass by hand; conclusions from made-up figures."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from groundup.lab.experiment import Finding
from groundup.lab.measures import cut_blocks
from groundup.lab.measures.cut_blocks import (
    SCALED,
    UNSCALED,
    conclude_cuts,
    cut_study,
    train_and_cut,
)
from groundup.lab.measures.training import PLAIN, trained
from tests.lab.results import made_up


def loss_by_hand(model: Any, order: list[int], tokens: Any, targets: Any) -> float:
    x = model.token_embedding(tokens) + model.position_embedding.weight
    for i in order:
        x = model.blocks[i](x)
    logits = model.lm_head(model.final_norm(x))
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()).item()


def test_losses_are_those_of_the_blocks_that_are_left_in_their_order(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat and the dog lay by the log. " * 500)
    model = {"context_length": 8, "emb_dim": 16, "n_heads": 2, "n_layers": 3}
    train = {**PLAIN, "steps": 3, "learning_rate": 0.01}
    study = cut_study(model, train, (1,), "all else")
    setting = study.setting(study.cells()[0], vocab_size=17, text=str(text))
    values = train_and_cut(setting)
    again, _ = trained(setting)
    given = cut_blocks._windows(setting)
    with torch.no_grad():
        losses = {
            what: [loss_by_hand(again, order, *given) for order in orders]
            for what, orders in {
                "intact": [[0, 1, 2]],
                "cut": [[1, 2], [0, 2], [0, 1]],
                "swapped": [[1, 0, 2], [0, 2, 1]],
            }.items()
        }
    assert [values["intact"]] == pytest.approx(losses["intact"], abs=1e-5)
    assert values["cut"] == pytest.approx(losses["cut"], abs=1e-5)
    assert values["swapped"] == pytest.approx(losses["swapped"], abs=1e-5)
    assert len(set(values["cut"])) == 3


def concluded(rise: float, unscaled: float = 2.5, trains: bool = True) -> Finding:
    cells = {
        arm: [
            {
                "train_loss": loss + (-1) ** seed / 100 * (arm == SCALED),
                "unigram_entropy": 3.3,
                "trains": trains,
                "intact": 2.3,
                "cut": [2.3 + rise, 2.3 + rise, 3.3],
                "swapped": [2.31, 2.31],
            }
            for seed in range(5)
        ]
        for arm, loss in ((SCALED, 2.5), (UNSCALED, unscaled))
    }
    return conclude_cuts(made_up(cells), SCALED)


def test_costs_are_told_in_parts_of_what_was_learnt():
    finding = concluded(0.05)
    assert finding.figures[SCALED] == {"cut": pytest.approx(0.05), "swapped": pytest.approx(0.01)}
    assert finding.came_out
    assert f"{SCALED}: block 3 is missed most, by 1.00 nats a token." in finding.notes


def test_the_prediction_fails_if_blocks_matter_or_the_unscaled_is_better():
    assert not concluded(0.2).came_out
    assert not concluded(0.05, unscaled=2.4).came_out
    assert concluded(0.05, unscaled=2.6).came_out


def test_what_has_learnt_nothing_has_nothing_to_lose():
    finding = concluded(0.05, trains=False)
    assert not finding.came_out
    assert "nothing was learnt" in finding.verdict
    assert finding.figures[SCALED] == {"cut": None, "swapped": None}
