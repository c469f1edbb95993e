"""Equal logits to two other implementations that share the same random weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from llms_from_scratch.ch04 import GPTModel
from transformers import GPT2Config, GPT2LMHeadModel

from groundup import GPT
from tests.model.helpers import SHAPES, random_gpt

TOLERANCE = 1e-5


def tokens_for(config: dict[str, Any], length: int) -> torch.Tensor:
    return torch.randint(config["vocab_size"], (3, length))


def as_transformers(model: GPT) -> GPT2LMHeadModel:
    c = model.config
    other = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=c.vocab_size,
            n_positions=c.context_length,
            n_embd=c.emb_dim,
            n_layer=c.n_layers,
            n_head=c.n_heads,
            n_inner=c.ffn_dim,
            layer_norm_epsilon=c.norm_eps,
            tie_word_embeddings=True,
        )
    ).eval()
    ours = dict(model.named_parameters())
    theirs: dict[str, torch.Tensor] = {
        "transformer.wte.weight": ours["token_embedding.weight"],
        "transformer.wpe.weight": ours["position_embedding.weight"],
        "transformer.ln_f.weight": ours["final_norm.weight"],
        "transformer.ln_f.bias": ours["final_norm.bias"],
        "lm_head.weight": ours["token_embedding.weight"],
    }
    for i in range(c.n_layers):
        at, to = f"blocks.{i}.", f"transformer.h.{i}."
        for kind in ("weight", "bias"):
            theirs[f"{to}ln_1.{kind}"] = ours[f"{at}attn_norm.{kind}"]
            theirs[f"{to}ln_2.{kind}"] = ours[f"{at}ffn_norm.{kind}"]
            qkv: list[torch.Tensor] = [
                ours[f"{at}attn.{p}.{kind}"] for p in ("query", "key", "value")
            ]
            theirs[f"{to}attn.c_attn.{kind}"] = torch.cat(qkv).t()
            theirs[f"{to}attn.c_proj.{kind}"] = ours[f"{at}attn.out.{kind}"].t()
            theirs[f"{to}mlp.c_fc.{kind}"] = ours[f"{at}ffn.up.{kind}"].t()
            theirs[f"{to}mlp.c_proj.{kind}"] = ours[f"{at}ffn.down.{kind}"].t()
    missing, unexpected = other.load_state_dict(theirs, strict=False)
    assert not missing
    assert not unexpected
    return other


def as_llms_from_scratch(model: GPT) -> GPTModel:
    c = model.config
    other = GPTModel(
        {
            "vocab_size": c.vocab_size,
            "context_length": c.context_length,
            "emb_dim": c.emb_dim,
            "n_heads": c.n_heads,
            "n_layers": c.n_layers,
            "drop_rate": 0.0,
            "qkv_bias": c.qkv_bias,
        }
    ).eval()
    ours = dict(model.named_parameters())
    theirs: dict[str, torch.Tensor] = {
        "tok_emb.weight": ours["token_embedding.weight"],
        "pos_emb.weight": ours["position_embedding.weight"],
        "final_norm.scale": ours["final_norm.weight"],
        "final_norm.shift": ours["final_norm.bias"],
        "out_head.weight": ours["lm_head.weight"],
    }
    pairs = {
        "norm1.scale": "attn_norm.weight",
        "norm1.shift": "attn_norm.bias",
        "norm2.scale": "ffn_norm.weight",
        "norm2.shift": "ffn_norm.bias",
        "att.out_proj.weight": "attn.out.weight",
        "att.out_proj.bias": "attn.out.bias",
        "ff.layers.0.weight": "ffn.up.weight",
        "ff.layers.0.bias": "ffn.up.bias",
        "ff.layers.2.weight": "ffn.down.weight",
        "ff.layers.2.bias": "ffn.down.bias",
    }
    for kind in ("weight", "bias") if c.qkv_bias else ("weight",):
        pairs |= {f"att.W_{p}.{kind}": f"attn.{p}.{kind}" for p in ("query", "key", "value")}
    for i in range(c.n_layers):
        theirs |= {f"trf_blocks.{i}.{t}": ours[f"blocks.{i}.{o}"] for t, o in pairs.items()}
    missing, unexpected = other.load_state_dict(theirs, strict=False)
    assert all(name.endswith("mask") for name in missing)
    assert not unexpected
    return other


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ffn_dim", [0, 50])
@torch.no_grad()
def test_logits_equal_transformers(shape: dict[str, Any], ffn_dim: int) -> None:
    model = random_gpt(**shape, qkv_bias=True, tie_embeddings=True, ffn_dim=ffn_dim)
    other = as_transformers(model)
    for length in (1, 5, shape["context_length"]):
        tokens = tokens_for(shape, length)
        torch.testing.assert_close(model(tokens), other(tokens).logits, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("qkv_bias", [False, True])
@torch.no_grad()
def test_logits_equal_llms_from_scratch(shape: dict[str, Any], qkv_bias: bool) -> None:
    model = random_gpt(**shape, qkv_bias=qkv_bias)
    other = as_llms_from_scratch(model)
    for length in (1, 5, shape["context_length"]):
        tokens = tokens_for(shape, length)
        torch.testing.assert_close(model(tokens), other(tokens), atol=TOLERANCE, rtol=0)
