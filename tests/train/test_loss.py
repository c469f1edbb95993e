"""The fused loss equals the plain one, in value and in every gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from groundup.model import GPT
from groundup.train import TrainStep, fused_loss, loss, plain_loss
from tests.model.helpers import SHAPES, random_gpt


def value_and_gradients(
    function, hidden: Tensor, weight: Tensor, targets: Tensor, softcap: float = 0.0
):
    hidden, weight = (t.detach().clone().requires_grad_() for t in (hidden, weight))
    value = function(hidden, weight, targets, softcap)
    (value / 7).backward()
    return value.detach(), hidden.grad, weight.grad


@pytest.mark.parametrize("chunk_values", [1, 300, 1 << 24])
@pytest.mark.parametrize("rows", [1, 7, 64])
@pytest.mark.parametrize("softcap", [0.0, 3.0])
def test_fused_equals_plain(
    chunk_values: int, rows: int, softcap: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("groundup.train.loss.CHUNK_VALUES", chunk_values)
    hidden, weight = torch.randn(rows, 24), torch.randn(101, 24)
    targets = torch.randint(101, (rows,))
    targets[::3] = loss.IGNORED
    plain = value_and_gradients(plain_loss, hidden, weight, targets, softcap)
    fused = value_and_gradients(fused_loss, hidden, weight, targets, softcap)
    for expected, actual in zip(plain, fused, strict=True):
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_extreme_logits_stay_exact() -> None:
    hidden, weight = torch.eye(3) * 200, torch.tensor([[1.0, 0, 0], [0, -1, 0], [0, 0, 1]])
    targets = torch.tensor([1, 1, 2])
    plain = value_and_gradients(plain_loss, hidden, weight, targets)
    fused = value_and_gradients(fused_loss, hidden, weight, targets)
    for expected, actual in zip(plain, fused, strict=True):
        torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("softcap", [0.0, 2.0])
def test_every_gradient_of_a_model_is_equal(tied: bool, softcap: float) -> None:
    gradients = []
    for name in ("plain", "fused"):
        model: GPT = random_gpt(**SHAPES[1], tie_embeddings=tied, logit_softcap=softcap)
        tokens = torch.arange(48).reshape(2, 24)
        loss_sum, count = TrainStep(model, name)(tokens, tokens + 1)
        (loss_sum / count).backward()
        gradients.append({n: p.grad for n, p in model.named_parameters()})
    plain, fused = gradients
    assert plain.keys() == fused.keys()
    for name, expected in plain.items():
        torch.testing.assert_close(fused[name], expected, atol=1e-5, rtol=1e-5, msg=name)


def test_no_gradient_is_computed_that_nobody_wants() -> None:
    hidden, weight, targets = torch.randn(5, 8), torch.randn(11, 8), torch.arange(5)
    assert not fused_loss(hidden, weight, targets).requires_grad
    weight.requires_grad_()
    fused_loss(hidden, weight, targets).backward()
    assert weight.grad is not None
    assert hidden.grad is None
