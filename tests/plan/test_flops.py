from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from groundup.config import GPTConfig, preset
from groundup.model import GPT, plain_attention
from groundup.plan import (
    count_parameters,
    forward_flops_per_token,
    model_flops_utilisation,
    training_flops_per_token,
)

SHAPES: list[dict[str, Any]] = [
    {"emb_dim": 24, "n_heads": 3, "n_layers": 2, "tie_embeddings": True},
    {"emb_dim": 32, "n_heads": 2, "n_layers": 1, "ffn_dim": 50, "qkv_bias": True},
    {"emb_dim": 24, "n_heads": 4, "n_kv_heads": 2, "head_dim": 10, "feed_forward": "swiglu"},
    {"emb_dim": 24, "n_heads": 4, "n_experts": 5, "n_active_experts": 2, "position": "rope"},
    {"emb_dim": 24, "n_heads": 3, "n_experts": 3, "n_active_experts": 1, "feed_forward": "geglu"},
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("length", [16, 5])
def test_flops_are_those_that_torch_counts(shape: dict[str, Any], length: int) -> None:
    config = GPTConfig(**{"vocab_size": 97, "context_length": 16, "n_layers": 2} | shape)
    model = GPT(config, attend=plain_attention)
    tokens = torch.randint(0, 97, (3, length))
    with FlopCounterMode(display=False) as forward:
        logits = model(tokens)
    with FlopCounterMode(display=False) as backward:
        logits.sum().backward()
    n_tokens = tokens.numel()
    assert forward.get_total_flops() == n_tokens * forward_flops_per_token(config, length)
    both = forward.get_total_flops() + backward.get_total_flops()
    assert both == n_tokens * training_flops_per_token(config, length)


def test_six_operations_a_weight_and_attention() -> None:
    config = preset("gpt2-124m", qkv_bias=False)
    parts = count_parameters(config).parts
    biases = 12 * (768 + 5 * 768)
    multiplying = parts["attention"] + parts["feed-forward"] + parts["token embedding"] - biases
    expected = 6 * multiplying + 12 * 12 * 1024 * 768
    assert training_flops_per_token(config) == expected


def test_of_a_window_only_what_it_shows_counts() -> None:
    config = preset("gemma2-2b", context_length=100, n_layers=5, window=30)
    everywhere = config.replace(window=None)
    hidden = 3 * (100 - 30)  # layers 0, 2 and 4
    saved = 4 * hidden * config.n_heads * config.head_dim
    assert forward_flops_per_token(everywhere) - forward_flops_per_token(config) == saved
    assert forward_flops_per_token(config, 20) == forward_flops_per_token(everywhere, 20)


def test_utilisation_is_a_share() -> None:
    assert model_flops_utilisation(100.0, 5e9, 1e12) == pytest.approx(0.5)
