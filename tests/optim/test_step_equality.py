"""The loop's step, with clipping folded into the optimizer, equals the plain one it stands for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from groundup import GPTConfig, TrainConfig
from groundup.data import Batches, TokenSplit
from groundup.model import GPT
from groundup.optim.optimizer import Optimizer, set_learning_rate
from groundup.train import Trainer, TrainStep, build_optimizer, choose, new_model

CONFIG = GPTConfig(
    vocab_size=61,
    context_length=12,
    emb_dim=24,
    n_heads=3,
    n_layers=2,
    qkv_bias=True,
    tie_embeddings=True,
)


def settings(**changes: Any) -> TrainConfig:
    options = {"steps": 3, "batch_size": 4, "warmup_steps": 0, "device": "cpu", "threads": 1}
    return TrainConfig(**{**options, **changes})


def trainer(config: TrainConfig) -> Trainer:
    ids = np.random.default_rng(0).integers(61, size=2000)
    model = new_model(CONFIG, seed=3)
    return Trainer(
        step=TrainStep(model, config.loss),
        batches=Batches(TokenSplit.from_array(ids, 2000), 12, config.batch_size, config.seed),
        choices=choose(config, CONFIG),
        evaluate=lambda *asked: None,
        sample=lambda progress: None,
        listeners=[],
    )


def plain_step(model: GPT, optimizer: Optimizer, ours: Trainer) -> torch.Tensor:
    """Divide the loss, clip with torch's own function, then step: nothing fused, nothing folded."""
    config, number = ours.config, ours.progress.step
    n = config.sequences_per_step
    tokens, targets = map(torch.from_numpy, ours.batches.rows(number * n, n).arrays.values())
    loss = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip or torch.inf)
    set_learning_rate(optimizer, number, config)
    optimizer.step()
    return norm


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("grad_clip", [0.0, 0.05, 1e3])
def test_every_gradient_and_parameter_is_that_of_the_plain_step(
    grad_clip: float, accumulation: int, optimizer: str
) -> None:
    changes = {"grad_clip": grad_clip, "accumulation": accumulation, "optimizer": optimizer}
    config = settings(learning_rate=3e-3, **changes)
    ours, plain = trainer(config), new_model(CONFIG, seed=3)
    theirs = build_optimizer(plain, ours.config)
    seen: dict[str, torch.Tensor] = {}

    def keep() -> None:
        for name, parameter in ours.model.named_parameters():
            assert parameter.grad is not None
            seen[name] = parameter.grad.clone()
        forget()

    our_optimizer = ours.learner.optimizer
    forget = our_optimizer.zero_grad
    our_optimizer.zero_grad = keep  # type: ignore[method-assign]
    for _ in range(config.steps):
        norm = plain_step(plain, theirs, ours)
        ours.take_step()
        torch.testing.assert_close(torch.tensor(ours.norm), norm, atol=1e-5, rtol=1e-5)
        for name, parameter in plain.named_parameters():
            torch.testing.assert_close(
                seen[name], parameter.grad, atol=1e-5, rtol=1e-5, msg=f"gradient of {name}"
            )
            torch.testing.assert_close(
                ours.model.get_parameter(name), parameter, atol=1e-5, rtol=1e-5, msg=name
            )
        theirs.zero_grad()
