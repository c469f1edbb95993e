"""Blocks left out and swapped, against a forward pass by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from groundup.lab.experiments.shortcut import EXPERIMENT
from groundup.lab.measures import cut_blocks
from groundup.lab.measures.cut_blocks import train_and_cut
from groundup.lab.measures.training import trained


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
    (study,) = (study for study in EXPERIMENT.studies(1) if study.name == "cut")
    study = replace(study, model=model, train={**study.train, "steps": 3, "learning_rate": 0.01})
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
