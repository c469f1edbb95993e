"""A model's fingerprint, by which an evaluation that was stopped goes on, outlives new versions."""

from __future__ import annotations

import torch

from groundup.config import GPTConfig
from groundup.evaluate import Candidate
from groundup.model import GPT
from tests.evaluate.plain import BYTES

FIRST = "d1befbb434f42c3d32918aed9c7de2033c06e12ac4ca69dde309233c51170647"
"""That of the model below, when journals came; all its weights are 0.5, exact on any machine."""


def test_fields_that_a_config_gains_change_no_fingerprint() -> None:
    model = GPT(GPTConfig(vocab_size=257, context_length=8, emb_dim=8, n_heads=2, n_layers=1))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.5)
    assert Candidate(model, BYTES).fingerprint == FIRST
