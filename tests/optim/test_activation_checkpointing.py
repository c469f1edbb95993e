"""Blocks that compute their activations again learn what blocks that keep them learn."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import torch

from groundup import GPTConfig, TrainConfig
from groundup.model import GPT
from groundup.optim.activation_checkpointing import checkpoint_blocks
from groundup.plan import make_plan
from groundup.train import TrainStep, automatic, choose
from tests.model.helpers import SHAPES, random_gpt

CASES: list[dict[str, Any]] = [
    *SHAPES,
    {**SHAPES[1], "drop_rate": 0.3},
    {**SHAPES[1], "attention_drop_rate": 0.3},
    {**SHAPES[1], "n_experts": 4, "n_active_experts": 2},
]


def gradients(model: GPT, autocast: bool) -> dict[str, torch.Tensor]:
    step = TrainStep(model.train(), balance_loss=0.1)
    tokens = torch.arange(18).reshape(2, 9) % 17
    for seed in (1, 2):
        torch.manual_seed(seed)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss, count = step(tokens, tokens)
        (loss / count).backward()
    return {"loss": loss} | {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("shape", CASES)
def test_loss_and_every_gradient_are_the_same(shape: dict[str, Any], autocast: bool) -> None:
    plain, again = (random_gpt(**shape) for _ in range(2))
    again.load_state_dict(plain.state_dict())
    checkpoint_blocks(again.blocks, again.config.has_dropout)
    assert again.state_dict().keys() == plain.state_dict().keys()
    expected, actual = gradients(plain, autocast), gradients(again, autocast)
    for name, value in expected.items():
        assert torch.equal(actual[name], value), name


def test_it_is_chosen_where_memory_would_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    config = GPTConfig(vocab_size=65, context_length=256, emb_dim=64, n_heads=2, n_layers=12)
    open_ = TrainConfig(device="cpu", threads=1, precision="fp32", batch_size=64)
    assert choose(open_, config).config.checkpoint_activations == "off"
    needed = make_plan(config, open_).memory["total"]
    monkeypatch.setattr(automatic, "available_memory", lambda: needed - 1)
    chosen = choose(open_, config)
    assert chosen.config.checkpoint_activations == "on"
    assert make_plan(config, chosen.config).memory["total"] < needed - 1
    assert "it would need" in chosen.reasons["checkpoint_activations"]


LONG = """
import json, sys
import numpy as np
from groundup.config import TrainConfig, preset
from groundup.data import Batches, TokenSplit
from groundup.device.machine import peak_memory_mib
from groundup.train import Trainer, TrainStep, choose, new_model
config = preset("gpt2-124m", context_length=8192)
train = TrainConfig(
    steps=2, batch_size=1, device="cpu", precision="fp32", checkpoint_activations=sys.argv[1]
)
ids = np.random.default_rng(0).integers(config.vocab_size, size=30000)
chosen = choose(train, config, own_process=True)
with chosen.in_force():
    short, long = (Batches(TokenSplit.from_array(ids, 30000), n, 1, 1) for n in (64, 8192))
    trainer = Trainer(
        step=TrainStep(new_model(config, 1)),
        batches=short,  # with which the optimizer gets its memory
        choices=chosen,
        evaluate=lambda *asked: None,
        sample=lambda: None,
        listeners=[],
    )
    trainer.take_step()
    trainer.learner.batches = long
    trainer.take_step()
loss = trainer.progress.unlogged
print(json.dumps({"peak": peak_memory_mib(chosen.device), "loss": loss}))
"""


@pytest.mark.slow
def test_gpt2_124m_trains_on_8192_tokens_within_6_gib() -> None:
    done = subprocess.run([sys.executable, "-c", LONG, "on"], capture_output=True, check=True)
    result = json.loads(done.stdout)
    assert result["peak"] < 6 * 1024
    assert result["loss"][1] < result["loss"][0] + 1
