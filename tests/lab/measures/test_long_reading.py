"""The loss by position against the loss of all; what a model says further on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groundup import GPT, GPTConfig
from groundup.data import TokenSplit
from groundup.evaluate import evaluate_loss
from groundup.lab.measures.long_reading import longer, losses_by_position


def rotary() -> GPT:
    config = GPTConfig(
        vocab_size=20, context_length=8, emb_dim=16, n_heads=2, n_layers=2, position="rope"
    )
    return GPT(config).eval()


def test_its_mean_is_the_loss() -> None:
    model, ids = rotary(), np.random.default_rng(1).integers(20, size=8 * 40 + 1)
    split = TokenSplit.from_array(ids, len(ids))
    losses = losses_by_position(model, split)
    assert losses.shape == (8,)
    assert losses.mean() == pytest.approx(evaluate_loss(model, split).loss, rel=1e-6)


def test_each_position_has_its_own() -> None:
    model, ids = rotary(), np.random.default_rng(1).integers(20, size=17)
    rows = torch.tensor([ids[:8].tolist(), ids[8:16].tolist()])
    logs = model(rows).log_softmax(-1)
    expected = [-(logs[0, i, ids[i + 1]] + logs[1, i, ids[i + 9]]).item() / 2 for i in range(8)]
    found = losses_by_position(model, TokenSplit.from_array(ids, 17))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_longer_reading_begins_like_the_short_one() -> None:
    model = rotary()
    further, tokens = longer(model, 4), torch.randint(0, 20, (2, 32))
    assert further.config.context_length == 32
    assert torch.allclose(further(tokens)[:, :8], model(tokens[:, :8]), atol=1e-6)
