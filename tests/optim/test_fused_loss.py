"""The fused loss equals the plain one, in value and in every gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from groundup.data import IGNORED
from groundup.model import GPT
from groundup.optim import step
from groundup.train import TrainStep, fused_loss, plain_loss
from tests.model.helpers import SHAPES, random_gpt


@pytest.fixture(autouse=True)
def _no_logits_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "FEW_LOGITS", 0)


def value_and_gradients(
    function: Callable[..., Tensor],
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    softcap: float = 0.0,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
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
    monkeypatch.setattr("groundup.optim.fused_loss.CHUNK_VALUES", chunk_values)
    hidden, weight = torch.randn(rows, 24), torch.randn(101, 24)
    targets = torch.randint(101, (rows,))
    targets[::3] = IGNORED
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


@pytest.mark.parametrize("loss_name", ["plain", "fused"])
def test_a_tied_matrix_gets_the_whole_gradient_in_one_tensor(loss_name: str) -> None:
    tokens = torch.arange(48).reshape(2, 24) % 7  # rows that many tokens share
    model, step_model = (random_gpt(**SHAPES[1], tie_embeddings=True) for _ in range(2))
    step_model.load_state_dict(model.state_dict())
    plain_loss(
        model.hidden_states(tokens).flatten(0, 1), model.lm_head.weight, (tokens + 1).flatten()
    ).backward()
    train_step = TrainStep(step_model, loss_name)
    for passes in (1, 2):  # of which the second adds to the first
        train_step(tokens, tokens + 1)[0].backward()
        for name, parameter in model.named_parameters():
            ours = step_model.get_parameter(name).grad
            assert ours is not None
            torch.testing.assert_close(ours / passes, parameter.grad, atol=1e-5, rtol=1e-5)


def test_a_model_that_was_trained_is_an_ordinary_module_again() -> None:
    model = random_gpt(**SHAPES[1], tie_embeddings=True)
    tokens = torch.arange(24)[None]
    TrainStep(model)(tokens, tokens)[0].backward()
    assert model.lm_head.weight.grad is not None
    joined = model.lm_head.weight.grad.clone()
    model.zero_grad()
    plain_loss(model.hidden_states(tokens)[0], model.lm_head.weight, tokens[0]).backward()
    torch.testing.assert_close(model.lm_head.weight.grad, joined, atol=1e-5, rtol=1e-5)
