"""A copy that computes for the model gives it the gradients it would have had, and follows it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from groundup import GPTConfig
from groundup.optim.compiled import reduce_and_map
from groundup.optim.fused_loss import losses_and_gradients
from groundup.train import TrainStep, new_model

SHAPE: dict[str, Any] = {"vocab_size": 61, "context_length": 12, "emb_dim": 24, "n_heads": 3}
CONFIGS = {
    "gpt2": GPTConfig(**SHAPE, n_layers=2, qkv_bias=True, tie_embeddings=True),
    "grouped": GPTConfig(
        **{**SHAPE, "n_heads": 4, "n_kv_heads": 2}, n_layers=2, position="rope", norm="rmsnorm"
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_its_gradients_are_the_models_over_several_passes(name: str) -> None:
    gradients = []
    for number in (None, torch.float32):
        model = new_model(CONFIGS[name], seed=3)
        step = TrainStep(model, copy_dtype=number)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.01)
        step.refresh()
        generator = torch.Generator().manual_seed(1)
        for _ in range(2):
            tokens, targets = torch.randint(61, (2, 3, 12), generator=generator)
            step(tokens, targets)[0].backward()
            step.collect()
        gradients.append({n: p.grad for n, p in model.named_parameters()})
    wanted, got = gradients
    assert wanted.keys() == got.keys()
    for key in wanted:
        torch.testing.assert_close(got[key], wanted[key])


@pytest.mark.parametrize("softcap", [0.0, 3.0])
def test_the_gradients_to_be_compiled_are_those_written_out(softcap: float) -> None:
    logits, targets = 4 * torch.randn(33, 64), torch.randint(61, (33,))
    wanted = losses_and_gradients(logits.clone(), targets, softcap, 61)
    got = reduce_and_map(logits, targets, softcap, 61)
    torch.testing.assert_close(got, wanted)
