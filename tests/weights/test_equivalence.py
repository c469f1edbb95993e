"""Two configs are said to be the same model where, and only where, their logits are the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from groundup import GPT, GPTConfig
from groundup.base.errors import GroundupError
from groundup.weights.equivalence import canonical, differences, shortest_pattern
from groundup.weights.gguf.write import architecture_of
from groundup.weights.hf.native import native_class
from tests.model.helpers import random_gpt

CONTEXT = 12
SMALL: dict[str, Any] = {"vocab_size": 20, "context_length": CONTEXT, "emb_dim": 16, "n_heads": 2,
                         "n_layers": 4, "ffn_dim": 24}  # fmt: skip
LLAMA3 = {"rope_scaling": "llama3", "rope_original_context": 6}
ROPE: list[dict[str, Any]] = [
    dict(zip(("window", "window_pattern", "rope_local_base"), values, strict=True), **scaling)
    for *values, scaling in itertools.product(
        (None, 5, CONTEXT, 99),
        ("L", "G", "LG", "LLG"),
        (0.0, 50.0, 1e4),
        ({}, {"rope_scaling": "linear", "rope_factor": 2.0}),
    )
    if not (values[0] and values[1] == "L" and values[2])  # no layer has rope_base: not looked for
]
OTHERS: list[dict[str, Any]] = [
    {"rope_base": 50.0},
    {"rope_factor": 3.0},
    {"rope_scaling": "linear", "rope_factor": 1.0},
    {"rope_scaling": "linear", "rope_factor": 1.0, "window": 99, "rope_local_base": 1e4},
    {"rope_scaling": "linear", "rope_factor": 2.0, "rope_low_freq_factor": 0.5},
    {**LLAMA3, "rope_factor": 4.0},
    {**LLAMA3, "rope_factor": 4.0, "rope_low_freq_factor": 0.5},
    {"rope_scaling": "longrope", "rope_factors": (1.0, 2.0, 3.0, 4.0)},
    {"rope_scaling": "longrope", "rope_factors": (1, 2, 3, 4), "rope_attention_factor": 1.0},
    {"rope_scaling": "longrope", "rope_factors": (1.0, 2.0, 3.0, 9.0), "rope_factor": 3.0},
    {"window": 5, "window_pattern": "LLLL"},
    {"window": 5, "window_pattern": "LGLGG"},
    {"query_pre_attn_scalar": 8.0},
    {"query_pre_attn_scalar": 3.0},
    {"attention_softcap": 2.0},
    {"drop_rate": 0.5, "attention_drop_rate": 0.1},
]
LEARNED: list[dict[str, Any]] = [
    {},
    {"rope_base": 50.0, "rope_scaling": "linear", "rope_factor": 2.0},
    {"window": 99, "rope_local_base": 50.0},
    {"window": 5, "rope_local_base": 50.0},
    {"window": 5},
]


def logits(config: GPTConfig, weights: GPT) -> Tensor:
    model = GPT(config).eval()
    model.load_state_dict(weights.state_dict())
    tokens = torch.arange(CONTEXT)[None] * 7 % config.vocab_size
    with torch.no_grad():
        return model(tokens)


@pytest.mark.parametrize(("position", "variants"), [("rope", ROPE + OTHERS), ("learned", LEARNED)])
def test_equivalent_configs_are_those_with_the_same_logits(
    position: str, variants: list[dict[str, Any]]
) -> None:
    configs = [GPTConfig(**SMALL, position=position, **changes) for changes in variants]
    weights = random_gpt(**SMALL, position=position)
    found = [logits(config, weights) for config in configs]
    for (first, a), (second, b) in itertools.combinations(zip(configs, found, strict=True), 2):
        assert torch.equal(a, b) == (not differences(first, second)), (first, second)


def is_accepted(express: Callable[[GPTConfig], object], config: GPTConfig) -> bool:
    try:
        express(config)
    except GroundupError:
        return False
    return True


BASES: dict[str, dict[str, Any]] = {
    "gpt2": {"qkv_bias": True},
    "llama": {"norm": "rmsnorm", "position": "rope", "feed_forward": "swiglu", "bias": False},
    "olmo2": {"norm": "rmsnorm", "position": "rope", "feed_forward": "swiglu", "bias": False,
              "norm_order": "post", "qk_norm": "width"},
}  # fmt: skip


@pytest.mark.parametrize("express", [native_class, architecture_of])
@pytest.mark.parametrize("base", BASES)
def test_a_format_takes_equivalent_configs_or_none(
    base: str, express: Callable[[GPTConfig], object]
) -> None:
    verdicts: dict[tuple[Any, ...], set[bool]] = {}
    # Scaled rotations are left out: llama.cpp does not scale them in windowed layers.
    for changes in [changes for changes in ROPE if "rope_scaling" not in changes] + OTHERS:
        config = GPTConfig(**SMALL, **{**BASES[base], **changes})
        same = tuple(canonical(config).values())
        verdicts.setdefault(same, set()).add(is_accepted(express, config))
    assert [same for same, verdict in verdicts.items() if len(verdict) > 1] == []
    assert {True} in verdicts.values()


def test_a_window_as_large_as_the_context_is_no_hindrance_to_any_format() -> None:
    for changes in BASES.values():
        config = GPTConfig(**SMALL, **changes, window=CONTEXT)
        assert not differences(config, config.replace(window=None))
        assert is_accepted(native_class, config)
        assert is_accepted(architecture_of, config)


def test_a_class_that_has_windows_keeps_one_that_hides_nothing_yet() -> None:
    config = GPTConfig(**SMALL, **BASES["llama"], window=99)
    assert native_class(config).values["sliding_window"] == 99
    assert native_class(config.replace(window=None)).model_type == "llama"


@pytest.mark.parametrize(
    ("letters", "expected"),
    [("LLLL", "L"), ("LGLG", "LG"), ("LGLGL", "LG"), ("LLGLL", "LLG"), ("GGL", "GGL"), ("G", "G")],
)
def test_the_shortest_pattern_is_repeated_whole_or_cut(letters: str, expected: str) -> None:
    assert shortest_pattern(letters) == expected
