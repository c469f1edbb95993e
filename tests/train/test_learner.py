"""What a step and its data must be: what cannot be learnt, or would be lost, is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from groundup import GPT, TrainConfig
from groundup.base.errors import DataError, UsageError
from groundup.data import Batch
from groundup.optim.step import Step
from groundup.train import choose, new_model
from groundup.train.learner import Learner
from tests.processes.masked import CONFIG, SETTINGS, MaskedRows, WeightedStep, masked_trainer


class Rows:
    n_rows, n_tokens, n_targets = 600, 600, None
    lacking = 0

    def rows(self, first: int, n: int) -> Batch:
        tokens = np.arange(first, first + n - self.lacking)[:, None] % 61
        return Batch({"tokens": tokens}, n)


class Summed(Step[GPT]):
    """Its loss is a sum in 16 bits, which holds no count above 256."""

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        total = self.worker(tokens).float().sum().to(torch.bfloat16)
        return total, torch.tensor(tokens.numel())


class WithHead(Step[GPT]):
    def __init__(self, model: GPT) -> None:
        super().__init__(model)
        self.head = nn.Linear(16, 3)


class Forgetful(Step[GPT]):
    def kept(self) -> dict[str, nn.Parameter]:
        return {k: p for k, p in self.model.named_parameters() if k != "final_norm.weight"}


def learner(step: Step[Any], rows: Rows | None = None, **changes: Any) -> Learner:
    return Learner(step, rows or Rows(), choose(TrainConfig(**{**SETTINGS, **changes}), CONFIG))


def model() -> GPT:
    return new_model(CONFIG, seed=1)


def test_a_step_that_would_not_learn_or_not_be_kept_is_refused() -> None:
    with pytest.raises(UsageError, match="no parameter of the model requires a gradient"):
        learner(WeightedStep(model().requires_grad_(False)))
    with pytest.raises(UsageError, match=r"head\.weight of the step requires .*only its model"):
        learner(WithHead(model()))
    with pytest.raises(UsageError, match=r"model\.final_norm\.weight learns, but `kept`"):
        learner(Forgetful(model()))


def test_targets_are_counted_exactly_whatever_the_loss_is_in() -> None:
    found = learner(Summed(model()), batch_size=301, accumulation=1).gradient(0)
    assert found.numbers()[2:] == [301, 301]
    assert found.loss.dtype == torch.float32


def test_fewer_rows_than_asked_for_are_refused() -> None:
    rows = Rows()
    rows.lacking = 1
    with pytest.raises(DataError, match=r"rows\(0, 4\) .* returned 3 rows: expected 4"):
        learner(Summed(model()), rows).gradient(0)


def test_data_without_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MaskedRows, "n_rows", 0)
    with pytest.raises(DataError, match="has no rows"):
        masked_trainer(set())


@pytest.mark.parametrize(
    ("arrays", "n_tokens", "said"),
    [
        ({"tokens": np.array([["a"]])}, 1, "tokens of a batch is a ndarray of <U1"),
        ({"tokens": [[1]]}, 1, "tokens of a batch is a list"),
        ({}, 1, "a batch of no arrays"),
        ({"tokens": np.ones((2, 3)), "weights": np.ones(3)}, 6, r"weights \(3,\): expected .*rows"),
        ({"tokens": np.array(1)}, 1, r"tokens \(\): expected .*rows"),
        ({"tokens": np.ones((2, 3))}, -1, "n_tokens = -1"),
        ({"tokens": np.ones((2, 3))}, 1.5, r"n_tokens = 1\.5"),
    ],
)
def test_a_batch_that_is_none_is_refused(arrays: Any, n_tokens: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        Batch(arrays, n_tokens)


def test_dropout_outside_of_the_gpt_is_the_same_after_a_resume() -> None:
    class Noisy(Summed):
        def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
            noise = self.model.get_submodule("drop")(torch.ones(len(tokens), 64))
            return self.worker(tokens).float().mean() + noise.square().sum(), torch.tensor(1)

    def loss(earlier: int) -> float:
        gpt = model()
        gpt.drop = nn.Dropout(0.5)
        found = learner(Noisy(gpt))
        torch.manual_seed(earlier)
        return float(found.gradient(3).loss)

    assert loss(1) == loss(2)


@pytest.mark.parametrize(
    ("n_experts", "allocator", "calls"), [(4, "keep", [3, 7]), (4, "system", []), (0, "keep", [])]
)
def test_what_a_mixture_tears_goes_back_now_and_then(
    monkeypatch: pytest.MonkeyPatch, n_experts: int, allocator: str, calls: list[int]
) -> None:
    """Only in a process of our own that keeps freed memory: others have their own ways."""
    config = CONFIG.replace(n_experts=n_experts, n_active_experts=min(2, n_experts))
    choices = choose(TrainConfig(**{**SETTINGS, "allocator": allocator}), config)
    made = Learner(WeightedStep(new_model(config, seed=1)), Rows(), choices)
    given, now = list[int](), [0]
    monkeypatch.setattr("groundup.train.learner.give_back", lambda: given.append(now[0]))
    for now[0] in range(9):
        made.let_go(now[0])
    assert given == calls
