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

SHAPES = [
    {"emb_dim": 24, "n_heads": 3, "n_layers": 2, "tie_embeddings": True},
    {"emb_dim": 32, "n_heads": 2, "n_layers": 1, "ffn_dim": 50, "qkv_bias": True},
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("length", [16, 5])
def test_flops_are_those_that_torch_counts(shape: dict[str, int], length: int) -> None:
    config = GPTConfig(vocab_size=97, context_length=16, **shape)
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


def test_utilisation_is_a_share() -> None:
    assert model_flops_utilisation(100.0, 5e9, 1e12) == pytest.approx(0.5)
