"""The architecture's knowledge stands in two places; this holds them equal."""

from typing import Any

import pytest

from groundup.config import PRESETS, GPTConfig, parameter_shapes, part_of, preset
from groundup.model import empty_gpt


@pytest.mark.parametrize("other", [False, True])
@pytest.mark.parametrize("name", PRESETS)
def test_shapes_are_those_of_the_model(name: str, other: bool) -> None:
    config = preset(name, n_layers=2)
    changes = {key: getattr(config, key) is not other for key in ("tie_embeddings", "qkv_bias")}
    config = config.replace(**changes)
    assert _built(config) == [(p.name, p.shape) for p in parameter_shapes(config)]


@pytest.mark.parametrize("name", PRESETS)
def test_shapes_are_those_of_the_whole_model(name: str) -> None:
    config = preset(name)
    assert _built(config) == [(p.name, p.shape) for p in parameter_shapes(config)]


@pytest.mark.parametrize("name", PRESETS)
def test_the_part_of_a_parameter_follows_from_its_name(name: str) -> None:
    for parameter in parameter_shapes(preset(name, n_layers=2)):
        assert part_of(parameter.name) == parameter.part


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("blocks.3.memory.key.weight", "memory"),
        ("blocks.3.scale", "block"),
        ("blocks.3.memory.key_norm.weight", "normalisation"),
        ("second_head.weight", "second_head"),
    ],
)
def test_an_unknown_place_is_called_by_its_own_name(name: str, part: str) -> None:
    assert part_of(name) == part


@pytest.mark.parametrize(
    "changes",
    [
        {"norm": "layernorm", "norm_order": "sandwich", "qk_norm": "width", "n_kv_heads": 2},
        {"norm": "rmsnorm", "norm_order": "post", "bias": True, "feed_forward": "geglu"},
        {"n_experts": 3, "n_active_experts": 1, "feed_forward": "gelu", "bias": True},
        {"position": "rope", "head_dim": 10, "qk_norm": "head", "bias": False},
    ],
)
def test_shapes_follow_mixtures_that_nobody_published(changes: dict[str, Any]) -> None:
    config = preset("pico", **changes)
    assert _built(config) == [(p.name, p.shape) for p in parameter_shapes(config)]


def test_shapes_follow_an_unusual_feed_forward_width() -> None:
    config = preset("pico", ffn_dim=100)
    assert _built(config) == [(p.name, p.shape) for p in parameter_shapes(config)]
    assert ("blocks.3.ffn.up.weight", (100, 128)) in _built(config)


def _built(config: GPTConfig) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, tuple(p.shape)) for name, p in empty_gpt(config).named_parameters()]
