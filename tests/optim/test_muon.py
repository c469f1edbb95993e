"""Muon against torch's own, and as one optimizer with AdamW."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from groundup import GPT, GPTConfig, TrainConfig
from groundup.optim.muon import orthogonalise_
from groundup.optim.optimizer import (
    Optimizer,
    set_learning_rate,
)
from groundup.optim.optimizer_state import optimizer_tensors, restore_optimizer
from groundup.train import build_optimizer, new_model

SHAPES: list[tuple[int, ...]] = [(48, 48), (48, 160), (160, 48), (48, 48), (40, 48)]
STEPS = 6
SMALL: dict[str, Any] = {
    "vocab_size": 60,
    "context_length": 16,
    "emb_dim": 32,
    "n_heads": 4,
    "n_layers": 2,
    "tie_embeddings": True,
}


def gradients(shapes: list[tuple[int, ...]], step: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def parameters(shapes: list[tuple[int, ...]]) -> list[nn.Parameter]:
    return [nn.Parameter(0.1 * gradient) for gradient in gradients(shapes, 99)]


def ours(params: list[nn.Parameter]) -> Optimizer:
    rule = {"rule": "muon", "lr": 0.02, "weight_decay": 0.1, "momentum": 0.95}
    return Optimizer([rule | {"params": params, "dtype": torch.float32}])


def run(
    optimizer: Optimizer | torch.optim.Muon, params: list[nn.Parameter], factor: float = 1.0
) -> None:
    for step in range(STEPS):
        for parameter, gradient in zip(
            params, gradients([tuple(p.shape) for p in params], step), strict=True
        ):
            parameter.grad = factor * gradient
        optimizer.step()


def test_it_moves_as_torchs_own() -> None:
    """Torch's products are in bf16, which rounds each number by up to 2^-8 = 0.4% of it: all that
    was moved agrees to 1%, and as a matrix of A x B moves by lr x sqrt(max(1, A / B) / B) a value
    and step, here by 0.03 in all, any one value agrees to 1e-3."""
    a, b, start = parameters(SHAPES), parameters(SHAPES), parameters(SHAPES)
    run(ours(a), a)
    run(torch.optim.Muon(b, lr=0.02, weight_decay=0.1, momentum=0.95, nesterov=True), b)
    for one, other, before in zip(a, b, start, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=0)
        moved, off = (other - before).norm(), (one - other).norm()
        assert off < 0.01 * moved


def test_alike_matrices_at_once_are_as_one_by_one() -> None:
    a, b = parameters(SHAPES), parameters(SHAPES)
    run(ours(a), a)
    optimizers = [ours([parameter]) for parameter in b]
    for step in range(STEPS):
        for optimizer, parameter, gradient in zip(
            optimizers, b, gradients(SHAPES, step), strict=True
        ):
            parameter.grad = gradient
            optimizer.step()
    for one, other in zip(a, b, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_a_stack_of_matrices_is_that_of_its_matrices() -> None:
    shape = (20, 12)
    (stack,) = parameters([(5, *shape)])
    alone = [nn.Parameter(matrix.clone()) for matrix in stack.detach()]
    one, other = ours([stack]), ours(alone)
    for step in range(STEPS):
        (stack.grad,) = gradients([(5, *shape)], step)
        for matrix, gradient in zip(alone, stack.grad, strict=True):
            matrix.grad = gradient.clone()
        one.step()
        other.step()
    torch.testing.assert_close(stack, torch.stack([*alone]), atol=1e-5, rtol=0)


def test_orthogonal_matrices_come_of_it() -> None:
    matrices = torch.randn(3, 24, 60, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    result = orthogonalise_(matrices.clone())
    values = torch.linalg.svdvals(result)
    assert (values > 0.65).all()
    assert (values < 1.25).all()
    diagonal = left.mT @ result @ right.mT  # the same singular vectors: nothing off the diagonal
    off = diagonal - torch.diag_embed(diagonal.diagonal(dim1=-2, dim2=-1))
    assert off.abs().max() < 1e-4


def test_gradients_are_divided_by_the_scale() -> None:
    config = TrainConfig(learning_rate=0.01)
    moved = []
    for factor in (1.0, 8.0):
        model = new_model(GPTConfig(**SMALL), seed=3)
        optimizer = build_optimizer(model, config)
        optimizer.grad_scale = torch.tensor(factor)
        set_learning_rate(optimizer, 50, config)
        run(optimizer, list(model.parameters()), factor)
        moved.append([p.detach().clone() for p in model.parameters()])
    for one, other in zip(*moved, strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


def by_rule(model: GPT, config: TrainConfig) -> tuple[set[str], set[str]]:
    """Return the names of the parameters that Muon moves, and of those that AdamW moves."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = build_optimizer(model, config).param_groups
    listed = [{names[p] for g in groups if ("betas" in g) is x for p in g["params"]}
              for x in (False, True)]  # fmt: skip
    assert listed[0] | listed[1] == set(names.values())
    assert not listed[0] & listed[1]
    return listed[0], listed[1]


@pytest.mark.parametrize("changes", [{}, {"tie_embeddings": False, "position": "rope"},
                                     {"n_experts": 3, "n_active_experts": 1}])  # fmt: skip
def test_matrices_in_blocks_are_muons_the_rest_is_adamws(changes: dict[str, Any]) -> None:
    model = GPT(GPTConfig(**{**SMALL, **changes}))
    matrices, others = by_rule(model, TrainConfig())
    assert matrices == {n for n, p in model.named_parameters() if "blocks" in n and p.dim() > 1}
    assert "token_embedding.weight" in others
    assert by_rule(model, TrainConfig(optimizer="adamw"))[0] == set()


def test_its_products_have_a_format_of_their_own() -> None:
    model = GPT(GPTConfig(**SMALL))
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        config = TrainConfig(precision="fp32", muon_precision=name)
        assert build_optimizer(model, config).param_groups[-1]["dtype"] is dtype


def test_frozen_matrices_stay() -> None:
    model = GPT(GPTConfig(**SMALL))
    model.blocks[0].requires_grad_(False)
    optimizer = build_optimizer(model, TrainConfig())
    moved = {p for group in optimizer.param_groups for p in group["params"]}
    assert moved == {p for p in model.parameters() if p.requires_grad}
    model.blocks.requires_grad_(False)
    assert {g["rule"] for g in build_optimizer(model, TrainConfig()).param_groups} == {"adamw"}


def test_its_rate_follows_the_same_schedule() -> None:
    config = TrainConfig(learning_rate=0.01, muon_learning_rate=0.03, steps=100)
    optimizer = build_optimizer(GPT(GPTConfig(**SMALL)), config)
    for step in (0, 5, 50, 99):
        set_learning_rate(optimizer, step, config)
        rates = {"betas" in group: group["lr"] for group in optimizer.param_groups}
        assert rates[False] == pytest.approx(3 * rates[True])


def test_its_memory_comes_back_by_name() -> None:
    model = new_model(GPTConfig(**SMALL), seed=3)
    optimizer = build_optimizer(model, TrainConfig())
    set_learning_rate(optimizer, 50, TrainConfig(learning_rate=0.01))
    run(optimizer, list(model.parameters()))
    named = dict(model.named_parameters())
    kept = dict(optimizer_tensors(optimizer, named))
    fields = {key.rpartition(":")[2] for key in kept if "blocks.0.attn.query.weight" in key}
    assert fields == {"momentum"}
    assert {key.rpartition(":")[2] for key in kept} == {
        "momentum", "step", "exp_avg", "exp_avg_sq",
    }  # fmt: skip
    again = build_optimizer(model, TrainConfig())
    restore_optimizer(again, named, kept)
    back = dict(optimizer_tensors(again, named))
    assert back.keys() == kept.keys()
    for key, value in kept.items():
        torch.testing.assert_close(back[key], value, atol=0, rtol=0)
