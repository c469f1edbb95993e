"""Linear layers by oneDNN compute what they did, in fp32, while that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from groundup.base.errors import UsageError
from groundup.config import GPTConfig, TrainConfig
from groundup.device import products
from groundup.device.products import DEFAULT, ONEDNN, chosen_products, linear_products
from groundup.train.choices import choose

exact_here = pytest.mark.skipif(
    not products.onednn_is_exact(), reason="oneDNN rounds factors to bf16 on this processor"
)


def relative(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference, in parts of the largest number expected."""
    return float(((found - expected).abs().max() / expected.abs().max()).detach())


def passes(layer: nn.Linear, x: Tensor) -> dict[str, Tensor]:
    """Return what a layer makes of `x`, and all gradients of a loss that weighs its outputs."""
    layer.zero_grad()
    x = x.clone().requires_grad_()
    y = layer(x)
    (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    found = {"y": y, "x": x.grad, "weight": layer.weight.grad}
    if layer.bias is not None:
        found["bias"] = layer.bias.grad
    return {name: tensor.detach().clone() for name, tensor in found.items() if tensor is not None}


@exact_here
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [(96, 160), (16, 160), (160, 16)])
def test_a_layer_and_its_gradients_are_what_they_were(sizes: tuple[int, int], bias: bool) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(*sizes, bias=bias), torch.randn(3, 20, sizes[0])
    expected = passes(layer, x)
    with linear_products(ONEDNN):
        found = passes(layer, x)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert relative(found[name], tensor) < 1e-5, name


@exact_here
def test_what_does_not_learn_keeps_nothing_for_its_gradient() -> None:
    layer, x = nn.Linear(64, 64), torch.randn(32, 64, requires_grad=True)
    layer.requires_grad_(False)
    kept: list[Tensor] = []
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t)  # type: ignore[func-returns-value]
    with linear_products(ONEDNN), hooks:
        y = layer(x)
    assert [t.shape for t in kept] == [layer.weight.shape]
    y.sum().backward()
    assert layer.weight.grad is None
    assert x.grad is not None


@exact_here
def test_fewer_bits_and_few_rows_are_left_to_pytorch() -> None:
    layer, x = nn.Linear(64, 64), torch.randn(2, 64)
    expected = layer(x), layer.bfloat16()(x.bfloat16())
    with linear_products(ONEDNN):
        found = layer.float()(x), layer.bfloat16()(x.bfloat16())
    assert relative(found[0], expected[0]) < 1e-2  # rounded to bf16 in between
    assert found[1].dtype == torch.bfloat16
    assert relative(found[1].float(), expected[1].float()) < 1e-2


def test_it_ends_with_its_context_whatever_happens_there() -> None:
    def permitted() -> str:
        return str(torch.backends.mkldnn.matmul.fp32_precision)  # type: ignore[attr-defined]

    before = permitted()
    with pytest.raises(ZeroDivisionError), linear_products(ONEDNN):  # noqa: PT012
        with chosen_products():
            assert permitted() == "bf16"
        assert permitted() == before
        raise ZeroDivisionError
    with chosen_products():
        assert permitted() == before
    with linear_products(DEFAULT), chosen_products():
        assert permitted() == before


@contextmanager
def processor(patch: pytest.MonkeyPatch, *, amd: bool, exact: bool) -> Iterator[None]:
    """Take this for another processor, with AVX-512."""
    with patch.context() as also:
        also.setattr(products, "is_amd_cpu", lambda: amd)
        also.setattr(products, "onednn_is_exact", lambda: exact)
        also.setattr("groundup.train.choices.onednn_is_exact", lambda: exact)
        also.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
        yield


CPU: dict[str, Any] = {"device": "cpu", "precision": "fp32", "compile": "off", "threads": 1}


@pytest.mark.parametrize(
    ("amd", "exact", "settings", "library"),
    [
        (True, True, {}, ONEDNN),
        (True, False, {}, DEFAULT),
        (False, True, {}, DEFAULT),
        (True, True, {"precision": "bf16"}, DEFAULT),
        (True, True, {"compile": "on"}, DEFAULT),
        (True, True, {"exact": "on"}, DEFAULT),
        (False, True, {"products": ONEDNN}, ONEDNN),
    ],
)
def test_it_is_chosen_where_it_is_known_to_be_faster_and_is_exact(
    amd: bool, exact: bool, settings: dict[str, Any], library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(**(CPU | settings))
    with processor(monkeypatch, amd=amd, exact=exact):
        choices = choose(config, GPTConfig(emb_dim=32, n_heads=2, n_layers=1, vocab_size=64))
    assert choices.config.products == library


def test_asked_for_where_it_would_round_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainConfig(**CPU, products=ONEDNN)
    with processor(monkeypatch, amd=True, exact=False), pytest.raises(UsageError) as error:
        choose(config, GPTConfig(emb_dim=32, n_heads=2, n_layers=1, vocab_size=64))
    assert str(error.value) == (
        "products = 'onednn': oneDNN rounds factors to bf16 on this CPU; use 'default'"
    )
