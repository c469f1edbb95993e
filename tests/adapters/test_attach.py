"""Adapters against the formulas of their papers, in every family of models."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from groundup import GPT, GPTConfig
from groundup.adapters import (
    DoRALinear,
    LoRALinear,
    adapter_shapes,
    attach,
    check_target,
    merge,
    merged_tensors,
)
from groundup.base.errors import UsageError
from groundup.config import PRESETS, preset
from groundup.config.adaptation import FULL
from groundup.model import empty_gpt
from groundup.runs.save import check_made_by_config

METHODS = ("lora", "dora")
SMALL: dict[str, Any] = {"vocab_size": 61, "context_length": 16, "emb_dim": 32, "n_layers": 2}
KINDS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_heads": 4, "position": "learned", "norm": "layernorm", "feed_forward": "gelu_tanh",
             "bias": True, "qkv_bias": True, "tie_embeddings": True},
    "llama": {"n_heads": 4, "n_kv_heads": 2, "feed_forward": "swiglu", "tie_embeddings": False},
    "gemma": {"n_heads": 4, "n_kv_heads": 1, "head_dim": 16, "norm_order": "sandwich",
              "feed_forward": "geglu", "logit_softcap": 5.0, "qk_norm": "head"},
    "experts": {"n_heads": 4, "n_experts": 3, "n_active_experts": 2, "feed_forward": "swiglu"},
}  # fmt: skip


def small(kind: str) -> GPTConfig:
    return GPTConfig(**SMALL, **KINDS[kind])


def randomised(model: GPT) -> GPT:
    """Every tensor random, those that start at 0 or 1 included, so that no swap hides."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
            if name.endswith(("magnitude", "norm.weight")):
                parameter.abs_().add_(0.5)
    return model.eval()


def tokens() -> Tensor:
    return torch.arange(32).view(2, 16) * 7 % 61


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PRESETS)
def test_shapes_are_those_that_attach_makes(name: str, method: str) -> None:
    config = preset(name, n_layers=2)
    model = empty_gpt(config)
    attach(model, method, 8, 16.0, 1)
    learns = {n: tuple(p.shape) for n, p in model.named_parameters() if p.requires_grad}
    assert list(learns.items()) == list(adapter_shapes(config, method, 8).items())


def test_shapes_name_every_matrix_of_a_block_and_nothing_else() -> None:
    names = {"query", "key", "value", "out", "gate", "up", "down"}
    shapes = adapter_shapes(small("experts"), "lora", 4)
    modules = {name.rpartition(".")[0] for name in shapes}
    assert {name.rpartition(".")[2] for name in modules} == names
    assert len(modules) == 2 * (4 + 3 * 3)
    assert shapes["blocks.1.ffn.experts.2.down.lora_a"] == (4, small("experts").ffn_dim)
    assert adapter_shapes(small("llama"), FULL, 4) == {}


@torch.no_grad()
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_adapter_changes_nothing_and_merged_equals_attached(kind: str, method: str) -> None:
    model = randomised(GPT(small(kind)))
    before = model(tokens())
    attach(model, method, 4, 8.0, 1)
    torch.testing.assert_close(model(tokens()), before, rtol=1e-5, atol=1e-5)
    randomised(model)
    attached = model(tokens())
    largest = float(attached.abs().max())
    assert float((attached - before).abs().max()) > 0.01 * largest
    merge(model)
    assert float((model(tokens()) - attached).abs().max()) <= 1e-5 * largest
    check_made_by_config(model)
    assert not any(isinstance(module, LoRALinear) for module in model.modules())


def by_the_papers(layer: LoRALinear, x: Tensor) -> Tensor:
    """Equations 3 (Hu et al.) and 5 (Liu et al.), a row at a time."""
    rows = []
    for i in range(layer.out_features):
        row = layer.weight[i]
        for r in range(len(layer.lora_a)):
            row = row + layer.scale * layer.lora_b[i, r] * layer.lora_a[r]
        if isinstance(layer, DoRALinear):
            row = layer.magnitude[i] * row / row.square().sum().sqrt().detach()
        rows.append(x @ row + layer.bias[i])
    return torch.stack(rows, dim=-1)


@pytest.mark.parametrize("kind", [LoRALinear, DoRALinear])
def test_a_layer_computes_the_formula_and_its_gradients(kind: type[LoRALinear]) -> None:
    linear = nn.Linear(10, 6).double().requires_grad_(False)
    layer = kind(linear, 3, 5.0, torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    x = torch.randn(2, 4, 10, dtype=torch.float64)
    learn = [p for p in layer.parameters() if p.requires_grad]
    assert len(learn) == (3 if kind is DoRALinear else 2)
    output, expected = layer(x), by_the_papers(layer, x)
    torch.testing.assert_close(output, expected)
    found = torch.autograd.grad(output.square().sum(), learn)
    others = torch.autograd.grad(expected.square().sum(), learn)
    for gradient, other in zip(found, others, strict=True):
        torch.testing.assert_close(gradient, other)


@pytest.mark.parametrize("method", METHODS)
def test_every_tensor_of_the_adapters_moves_and_nothing_else_does(method: str) -> None:
    model = randomised(GPT(small("experts"))).train()
    attach(model, method, 4, 8.0, 1)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01)
    for step in (1, 2):
        model(tokens()).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        moved = {n for n, p in model.named_parameters() if not torch.equal(p, start[n])}
        expected = set(adapter_shapes(model.config, method, 4))
        if step == 1:  # B is 0 so far: none of its gradient reaches A
            expected = {name for name in expected if not name.endswith("lora_a")}
        assert moved == expected


def test_where_adapters_start_depends_on_the_seed_alone() -> None:
    first, same, other = (GPT(small("llama")) for _ in range(3))
    for model, seed in ((first, 1), (same, 1), (other, 2)):
        attach(model, "lora", 4, 8.0, seed)
        torch.rand(1)
    name = "blocks.0.attn.query.lora_a"
    a, b, c = (model.get_parameter(name) for model in (first, same, other))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    bound = 1 / 32**0.5
    assert a.abs().max() <= bound
    assert float(a.std()) == pytest.approx(bound / 3**0.5, rel=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_tensors_are_merged_as_modules_are(method: str) -> None:
    model = randomised(GPT(small("llama")))
    attach(model, method, 4, 8.0, 1)
    randomised(model)
    tensors = {name: p.detach() for name, p in model.named_parameters()}
    adapters = {name: tensors.pop(name) for name in adapter_shapes(model.config, method, 4)}
    merged = tensors | merged_tensors(tensors, adapters, 8.0 / 4)
    merge(model)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, merged[name]), name


@pytest.mark.parametrize(
    ("method", "rank", "alpha", "told"),
    [
        ("full", 4, 8.0, "expected one of lora, dora"),
        ("lora", 0, 8.0, "1 or more"),
        ("lora", 4, 0.0, "above 0"),
    ],
)
def test_what_makes_no_adapter_is_refused(method: str, rank: int, alpha: float, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        attach(GPT(small("llama")), method, rank, alpha, 1)


def test_adapters_upon_adapters_are_refused() -> None:
    model = GPT(small("llama"))
    attach(model, "lora", 4, 8.0, 1)
    with pytest.raises(UsageError, match="has adapters already"):
        attach(model, "lora", 4, 8.0, 1)


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        ("gpt2", "token_embedding", "would change the other, too"),
        ("gpt2", "lm_head", "would change the other, too"),
        ("llama", "lm_head", "the loss reads the head's own matrix"),
        ("llama", "token_embedding", "no matrix of a block"),
        ("experts", "blocks.0.ffn.router", "no matrix of a block"),
    ],
)
def test_what_cannot_be_adapted_is_refused_with_the_reason(kind: str, name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        check_target(small(kind), name)
    check_target(small(kind), "blocks.0.attn.query")
