"""Settings that few files have: the logits of `transformers`, or a refusal by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.base.errors import RunError
from groundup.weights.hf import read_hf
from groundup.weights.hf.native import native_class
from tests.weights.hf.models import CONTEXT, VOCABULARY, filled, loaded, saved

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 24}
ORIGINAL = "original_max_position_embeddings"
BARE = {"rope_type": "yarn", "factor": 4.0}
OFF = {"rope_type": "default", "rope_theta": 50.0}
ENDLESS = [[["local"], 1 << 40]]
ABSENT = object()
GLOBALS = ["full_attention"] * 3


def altered(folder: Path, **changes: Any) -> None:
    """Change keys of a config.json as a person would, or an older tool."""
    path = folder / "config.json"
    values = {**json.loads(path.read_text()), **changes}
    kept = {key: value for key, value in values.items() if value is not ABSENT}
    path.write_text(json.dumps(kept))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("gpt_oss", {"rope_parameters": ABSENT, "rope_theta": 900.0}),
        ("gpt_oss", {"rope_parameters": OFF}),
        ("gpt_neo", {"attention_layers": ["global", "global", "local"]}),
        ("llama", {"rope_parameters": {}, "rope_theta": 50.0, "rope_scaling": YARN}),
        ("llama", {"rope_parameters": {**YARN, **dict.fromkeys(("beta_fast", "beta_slow"))}}),
        ("olmo3", {"rope_parameters": ABSENT, "rope_theta": 500000.0, "rope_scaling": YARN}),
        ("olmo3", {"rope_parameters": ABSENT, "rope_theta": 500000.0, "rope_scaling": BARE}),
        ("olmo3", {"rope_parameters": ABSENT, "rope_theta": 50.0, "layer_types": GLOBALS}),
        ("qwen2_moe", {"layer_types": ABSENT, "max_window_layers": 2}),
        ("smollm3", {"layer_types": ABSENT}),
        ("smollm3", {"layer_types": ABSENT, "no_rope_layers": ABSENT, "no_rope_layer_interval": 2}),
    ],
)
@torch.no_grad()
def test_it_is_what_transformers_makes_of_it(
    tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    saved(name, tmp_path)
    altered(tmp_path, **changes)
    ours, tokens = filled(read_hf(tmp_path)), torch.randint(VOCABULARY, (2, CONTEXT))
    torch.testing.assert_close(ours(tokens), loaded(tmp_path)(tokens).logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("llama", {"is_causal": False}, "is_causal = False"),
        ("llama", {"per_layer_config": {"0": {"hidden_act": "gelu"}}}, "per_layer_config = "),
        ("llama", {"rope_scaling": YARN}, r"rope_scaling = .* what rope_parameters says"),
        ("llama", {"original_max_position_embeddings": 30}, "the same as rope_parameters has: 24"),
        ("llama", {"rope_parameters": {**YARN, "attention_factor": 0}}, "attention_factor = 0"),
        ("llama", {"rope_parameters": {"rope_type": ["yarn"]}}, r"rope_type = \['yarn'\]"),
        ("gemma3", {"attn_logit_softcapping": 3.0}, "attn_logit_softcapping = 3.0"),
        ("gpt_neox", {"head_dim": 24}, "head_dim = 24"),
        ("gpt_neo", {"window_size": None}, "window_size = None"),
        (
            "gpt_neo",
            {"attention_layers": ABSENT, "attention_types": [[["local"], 1 << 40]]},
            "for 3",
        ),
        (
            "olmo3",
            {"rope_parameters": {"full_attention": OFF}},
            "rope_theta for sliding_attention",
        ),
        *(
            ("olmo3", {"rope_parameters": ABSENT, "rope_theta": 50.0, **more}, "rope_theta = 50.0")
            for more in ({}, {"layer_types": ABSENT}, {"rope_scaling": YARN})
        ),
        *(
            (name, {"rope_parameters": OFF}, "objects for sliding_attention and full_attention")
            for name in ("gemma3", "olmo3")
        ),
        (
            "gemma3",
            {"rope_parameters": ABSENT, "rope_scaling": {"type": "linear", "factor": 2.0}},
            "rope_type in place of type",
        ),
        (
            "gemma3",
            {
                "rope_parameters": ABSENT,
                "rope_scaling": BARE,
                "original_max_position_embeddings": 9,
            },
            f"the same as rope_scaling has: {CONTEXT}",
        ),
        ("phi3-longrope", {"head_dim": 12}, "head_dim = 12: expected 8, where .* by longrope"),
        ("phi3", {"rope_parameters": YARN}, "original_max_position_embeddings = 4096"),
        ("qwen3", {"use_sliding_window": False}, "where use_sliding_window is off"),
        ("smollm3", {"no_rope_layers": [[1], 1, 1]}, "no_rope_layers = "),
        ("smollm3", {"sliding_window": None}, "where sliding_window is off"),
    ],
)
def test_it_is_refused_by_its_name(
    tmp_path: Path, name: str, changes: dict[str, Any], said: str
) -> None:
    saved(name, tmp_path)
    altered(tmp_path, **changes)
    with pytest.raises(RunError, match=said) as error:
        read_hf(tmp_path)
    assert "\n" not in str(error.value)


def test_a_model_without_scaling_goes_out_as_gpt_oss_without(tmp_path: Path) -> None:
    saved("gpt_oss", tmp_path / "in", rope_parameters=OFF)
    found = read_hf(tmp_path / "in")
    assert found.config.rope_scaling == "none"
    assert native_class(found.config).values["rope_parameters"] == OFF
