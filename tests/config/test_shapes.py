"""The architecture's knowledge stands in two places; this holds them equal."""

import pytest
import torch

from groundup.config import PRESETS, GPTConfig, parameter_shapes, preset
from groundup.model import GPT


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", PRESETS)
def test_shapes_are_those_of_the_model(name: str, tied: bool, bias: bool) -> None:
    config = preset(name, tie_embeddings=tied, qkv_bias=bias)
    assert _built(config) == [(p.name, p.shape) for p in parameter_shapes(config)]


def test_shapes_follow_an_unusual_feed_forward_width() -> None:
    config = preset("pico", ffn_dim=100)
    assert _built(config) == [(p.name, p.shape) for p in parameter_shapes(config)]
    assert ("blocks.3.ffn.up.weight", (100, 128)) in _built(config)


def _built(config: GPTConfig) -> list[tuple[str, tuple[int, ...]]]:
    with torch.device("meta"):
        model = GPT(config)
    return [(name, tuple(parameter.shape)) for name, parameter in model.named_parameters()]
