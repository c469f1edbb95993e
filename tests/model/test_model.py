"""The architecture against itself and against its mathematics."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from groundup import GPT, GPTConfig
from groundup.model import CAUSAL, LayerNorm, Mask, fused_attention, plain_attention
from tests.model.helpers import SHAPES, random_gpt, randomise

GPT_CONFIG_124M: dict[str, Any] = {
    "vocab_size": 50257,
    "context_length": 1024,
    "emb_dim": 768,
    "n_heads": 12,
    "n_layers": 12,
    "drop_rate": 0.0,
    "qkv_bias": False,
}


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_workshop_dictionary_works_as_it_is() -> None:
    with torch.device("meta"):
        model = GPT(GPTConfig(**GPT_CONFIG_124M))
    assert count(model) == 163_009_536
    assert count(model.get_submodule("blocks.0.ffn")) == 4_722_432
    assert count(model.get_submodule("blocks.0.attn")) == 2_360_064
    assert "163,009,536 parameters (untied)" in repr(model)


def test_a_printed_model_counts_what_it_has_and_shared_parameters_once() -> None:
    model = random_gpt(**SHAPES[0], tie_embeddings=True)
    assert f"GPT(\n  {count(model):,} parameters (tied), " in repr(model)
    model.get_submodule("blocks.0.attn").query = nn.Linear(7, 1000)
    model.blocks.append(nn.Linear(3, 5))
    assert f"GPT(\n  {count(model):,} parameters (tied), {len(model.blocks)} layers" in repr(model)


@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_plain_and_fused_attention_give_equal_models(shape: dict[str, Any]) -> None:
    fused = random_gpt(**shape)
    plain = GPT(fused.config, attend=plain_attention).eval()
    plain.load_state_dict(fused.state_dict())
    tokens = torch.randint(shape["vocab_size"], (2, shape["context_length"]))
    torch.testing.assert_close(plain(tokens), fused(tokens), atol=1e-5, rtol=0)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 9), st.integers(0, 9), st.booleans())
@settings(max_examples=60)
def test_plain_and_fused_attention_are_equal(
    batch: int, heads: int, new: int, before: int, masked: bool
) -> None:
    seen = new + before
    query = torch.randn(batch, heads, new, 8, requires_grad=True)
    key, value = (torch.randn(batch, heads, seen, 8, requires_grad=True) for _ in range(2))
    allowed = torch.rand(batch, 1, new, seen) < 0.5
    allowed[..., 0] = True  # a row that may look at nothing has no answer
    mask = Mask(allowed, False) if masked else CAUSAL if not before else Mask(None, False)
    results = []
    for attend in (plain_attention, fused_attention):
        out = attend(query, key, value, mask)
        gradients = torch.autograd.grad(out.square().sum(), (query, key, value))
        results.append((out, *gradients))
    for plain, fused in zip(*results, strict=True):
        torch.testing.assert_close(plain, fused, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_a_later_token_never_changes_an_earlier_logit() -> None:
    model = random_gpt(**SHAPES[1])
    tokens = torch.randint(101, (2, 24))
    before = model(tokens)
    for position in range(24):
        changed = tokens.clone()
        changed[:, position] = (changed[:, position] + 1) % 101
        after = model(changed)
        assert torch.equal(after[:, :position], before[:, :position])
        assert not torch.allclose(after[:, position], before[:, position])


def test_an_earlier_token_changes_every_later_logit() -> None:
    model = random_gpt(**SHAPES[0])
    tokens = torch.randint(61, (1, 16))
    changed = tokens.clone()
    changed[:, 3] = (changed[:, 3] + 1) % 61
    difference = (model(tokens) - model(changed)).abs().amax(-1)[0]
    assert (difference[3:] > 0).all()


def test_layer_norm_is_its_formula() -> None:
    norm = LayerNorm(24, eps=1e-5)
    randomise(norm)
    assert norm.bias is not None
    x = torch.randn(4, 7, 24) * 3 + 1
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, correction=0)
    expected = norm.weight * (x - mean) / torch.sqrt(variance + 1e-5) + norm.bias
    torch.testing.assert_close(norm(x), expected)


@pytest.mark.parametrize("vocab_size", [65, 2048, 50257])
@pytest.mark.parametrize("emb_dim", [128, 768])
@torch.no_grad()
def test_loss_at_the_start_is_that_of_guessing(vocab_size: int, emb_dim: int) -> None:
    shape: dict[str, Any] = {
        "n_heads": 4,
        "n_layers": 2,
        "context_length": 128,
        "tie_embeddings": True,
    }
    model = GPT(GPTConfig(vocab_size=vocab_size, emb_dim=emb_dim, **shape))
    tokens = torch.randint(vocab_size, (4, 129))
    logits = model(tokens[:, :-1]).flatten(0, 1)
    loss = torch.nn.functional.cross_entropy(logits, tokens[:, 1:].flatten()).item()
    expected = math.log(vocab_size) + 0.0002 * emb_dim
    assert loss == pytest.approx(expected, rel=0.01)


def test_initial_spread_of_every_kind_of_parameter() -> None:
    model = GPT(GPTConfig(emb_dim=256, n_heads=4, n_layers=8, vocab_size=512, qkv_bias=True))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        else:
            shrink = 4.0 if name.endswith(("attn.out.weight", "ffn.down.weight")) else 1.0
            assert parameter.std().item() == pytest.approx(0.02 / shrink, rel=0.03), name


def test_more_tokens_than_the_context_is_an_error_that_says_so() -> None:
    model = random_gpt(**SHAPES[2])
    with pytest.raises(ValueError, match=r"10 tokens given, but .* context_length = 9"):
        model(torch.zeros(1, 10, dtype=torch.long))


def test_dropout_acts_in_training_only() -> None:
    model = GPT(GPTConfig(**SHAPES[0], drop_rate=0.5))
    tokens = torch.randint(61, (1, 8))
    assert not torch.equal(model(tokens), model(tokens))
    model.eval()
    assert torch.equal(model(tokens), model(tokens))
