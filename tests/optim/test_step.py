"""A step that is not the package's own: what attaches to `TrainStep` attaches to it as well."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundup import GPT, GPTConfig, TrainConfig
from groundup.data import IGNORED, Batch
from groundup.optim import step as steps_module
from groundup.optim.balance import ExpertBalance
from groundup.optim.fused_loss import fused_loss
from groundup.optim.step import Step
from groundup.optim.tied import TiedGradient
from groundup.train import Trainer, TrainStep, choose, new_model
from tests.model.helpers import random_gpt

CONFIG = GPTConfig(vocab_size=31, context_length=12, emb_dim=16, n_heads=2, n_layers=2)
MIXTURE = {"n_experts": 3, "n_active_experts": 2}
Sums = tuple[Float[Tensor, ""], Int[Tensor, ""]]


class Everything(Step[GPT]):
    """Next-token prediction, with everything attached by hand; `extra` is looked at and left."""

    def __init__(self, model: GPT, copy_dtype: torch.dtype | None) -> None:
        super().__init__(model, copy_dtype)
        self.loss = partial(fused_loss, chunk_values=100)
        self.tied = TiedGradient(self.worker)
        self.tied.attach(self)
        ExpertBalance(self.worker).attach(self, 0.5)

    def forward(self, extra: Tensor, tokens: Tensor, targets: Tensor) -> Sums:
        hidden = self.worker.hidden_states(tokens).flatten(0, 1)
        loss_sum = self.loss(hidden, self.tied.head_weight(), targets.flatten())
        return loss_sum + 0 * extra.sum(), torch.count_nonzero(targets != IGNORED)


@pytest.mark.parametrize("copy_dtype", [None, torch.bfloat16])
def test_it_computes_what_the_packages_own_does(
    copy_dtype: torch.dtype | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps_module, "FEW_LOGITS", 0)
    shape: dict[str, Any] = {**vars(CONFIG), "tie_embeddings": True} | MIXTURE
    models = [random_gpt(**shape).train() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    tokens = torch.arange(24).reshape(2, 12)
    given = {"tokens": tokens, "targets": tokens + 1}
    theirs = TrainStep(models[0], balance_loss=0.5, loss_chunk=100, copy_dtype=copy_dtype)
    own = Everything(models[1], copy_dtype)
    sums = theirs(**given), own(**given, extra=torch.ones(2))
    assert torch.equal(sums[0][0], sums[1][0])
    for step, (loss_sum, n_targets) in zip((theirs, own), sums, strict=True):
        (loss_sum / n_targets).backward()
        step.collect()
    for (name, p), q in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        assert p.grad is not None
        assert q.grad is not None
        assert torch.equal(p.grad, q.grad), name


class Classifier(nn.Module):
    """A GPT with a head of its own."""

    def __init__(self, gpt: GPT) -> None:
        super().__init__()
        self.gpt, self.head = gpt, nn.Linear(gpt.config.emb_dim, 2)


class ClassifierStep(Step[Classifier]):
    """A row counts as one target."""

    def forward(self, tokens: Tensor, labels: Tensor) -> Sums:
        hidden = self.worker.gpt.hidden_states(tokens)[:, -1]
        loss_sum = F.cross_entropy(self.worker.head(hidden).float(), labels, reduction="sum")
        return loss_sum, torch.tensor(len(labels))

    def kept(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in super().kept().items() if p.requires_grad}


class FirstHalf:
    """Whether a row's last token is of the first half of the vocabulary."""

    n_rows, n_tokens, n_targets = 100, 1200, 100

    def rows(self, first: int, n: int) -> Batch:
        tokens = np.random.default_rng(first).integers(31, size=(n, 12))
        return Batch({"tokens": tokens, "labels": (tokens[:, -1] < 15).astype(np.int64)}, 12 * n)


def classify(**changes: Any) -> tuple[list[float | None], Trainer]:
    torch.manual_seed(1)
    model = Classifier(new_model(CONFIG.replace(drop_rate=0.1), seed=3))
    model.gpt.token_embedding.requires_grad_(False)
    model.gpt.lm_head.requires_grad_(False)
    options: dict[str, Any] = {"steps": 4, "batch_size": 8, "device": "cpu", "threads": 1}
    choices = choose(TrainConfig(**options, precision="fp32", **changes), CONFIG)
    trainer = Trainer(
        step=ClassifierStep(model),
        batches=FirstHalf(),
        choices=choices,
        evaluate=lambda *asked: None,
        sample=lambda between: None,
        listeners=[],
    )
    losses: list[float | None] = []
    for _ in range(4):
        trainer.take_step()
        losses.append(trainer.progress.unlogged[-1])
    return losses, trainer


def test_a_gpt_inside_another_model_is_found() -> None:
    losses, trainer = classify()
    model = trainer.step.model
    assert len(trainer.step.blocks) == 2
    assert trainer.step.has_dropout
    by_muon = {id(p) for g in trainer.learner.optimizer.param_groups[2:] for p in g["params"]}
    assert by_muon == {id(p) for p in model.gpt.blocks.parameters() if p.dim() >= 2}
    kept = trainer.learner.weights()
    assert "head.weight" in kept
    assert "gpt.token_embedding.weight" not in kept
    memory, progress = trainer.learner.memory(), trainer.progress
    assert {name.partition(":")[0] for name in memory} == {*kept}
    trainer.restore(progress, kept, memory)
    assert classify(checkpoint_activations="on")[0] == losses, "dropout included"
