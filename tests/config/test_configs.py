"""Configurations: what is accepted, what is refused by name, and the way through TOML and back."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from groundup.base.errors import ConfigError
from groundup.config import (
    PRESETS,
    GPTConfig,
    TrainConfig,
    as_table,
    build,
    foreign_parts,
    parameter_shapes,
    parse_assignments,
    preset,
)
from groundup.runs import RunFolder
from groundup.runs.manifest import DataTable, Manifest


@pytest.mark.parametrize("name", PRESETS)
def test_a_model_comes_back_from_a_run_folder(tmp_path: Path, name: str) -> None:
    config = preset(name, drop_rate=0.125, norm_eps=1e-6)
    train = TrainConfig(
        minutes=4.5,
        eval_every=7,
        learning_rate=3e-4,
        sample_prompt='"é"\n',
        products="onednn",
        muon_precision="fp32",
    )
    folder = RunFolder(tmp_path)
    made = Manifest(model=as_table(config), train=as_table(train), data=DataTable())
    folder.write(made)
    manifest = folder.read()
    assert folder.model_config(manifest) == config
    assert folder.train_config(manifest) == train


def test_words_become_values_of_the_right_type() -> None:
    words = ["n_layers=1_6", "batch_size=2e1", "learning_rate=1", "tie_embeddings=True"]
    words += ["eval_every=none", "sample_prompt=a=b", " emb_dim = 64 "]
    model, train = parse_assignments(words, GPTConfig, TrainConfig)
    assert model == {"n_layers": 16, "tie_embeddings": True, "emb_dim": 64}
    expected = {"batch_size": 20, "learning_rate": 1.0, "eval_every": None, "sample_prompt": "a=b"}
    assert train == expected
    assert [type(value) for value in train.values()] == [int, float, type(None), str]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("n_layers", "expected key=value"),
        ("=3", "unknown key ''"),
        ("n_layer=3", "did you mean 'n_layers'"),
        ("n_layers=", "expected a whole number"),
        ("n_layers=2.5", "expected a whole number"),
        ("n_layers=inf", "expected a whole number"),
        ("learning_rate=fast", "expected a number"),
        ("qkv_bias=1", "expected true or false"),
        ("eval_every=x", "expected a whole number"),
    ],
)
def test_words_that_are_refused(word: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        parse_assignments([word], GPTConfig, TrainConfig)


@pytest.mark.parametrize(
    "values", [{"n_layers": True}, {"n_layers": "3"}, {"n_layers": 3.0}, {"qkv_bias": 1}, {"x": 1}]
)
def test_values_of_another_type_are_refused_by_name(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        build(GPTConfig, values)


@pytest.mark.parametrize(
    ("cls", "values"),
    [
        *((GPTConfig, {name: value}) for name in ("vocab_size", "emb_dim") for value in (0, -1)),
        (GPTConfig, {"emb_dim": 1 << 25}),
        (GPTConfig, {"ffn_dim": -1}),
        (GPTConfig, {"n_kv_heads": 5}),
        (GPTConfig, {"head_dim": 7, "position": "rope"}),
        (GPTConfig, {"n_experts": -1}),
        (GPTConfig, {"n_experts": 4}),
        (GPTConfig, {"n_experts": 4, "n_active_experts": 5}),
        (GPTConfig, {"n_active_experts": 1}),
        (GPTConfig, {"feed_forward": "relu6"}),
        (GPTConfig, {"norm": "batchnorm"}),
        (GPTConfig, {"norm_order": "before"}),
        (GPTConfig, {"qk_norm": "yes"}),
        (GPTConfig, {"position": "alibi"}),
        (GPTConfig, {"rope_base": 1.0}),
        (GPTConfig, {"rope_scaling": "su"}),
        (GPTConfig, {"rope_factors": (1.0, 2.0), "rope_scaling": "longrope", "position": "rope"}),
        (GPTConfig, {"rope_factors": (1.0, math.nan)}),
        (GPTConfig, {"rope_factor": 0.5, "rope_scaling": "linear"}),
        (GPTConfig, {"rope_low_freq_factor": 4.0, "rope_scaling": "llama3"}),
        (GPTConfig, {"rope_original_context": 0, "rope_scaling": "llama3"}),
        (GPTConfig, {"window": 0}),
        (GPTConfig, {"window_pattern": "LX"}),
        (GPTConfig, {"window_pattern": ""}),
        (GPTConfig, {"attention_softcap": -1.0}),
        (GPTConfig, {"logit_softcap": math.inf}),
        (GPTConfig, {"drop_rate": 1.0}),
        (GPTConfig, {"drop_rate": math.nan}),
        (GPTConfig, {"attention_drop_rate": 1.0}),
        (GPTConfig, {"norm_eps": 0.0}),
        (TrainConfig, {"steps": 0}),
        (TrainConfig, {"stride": 0}),
        (TrainConfig, {"beta2": 1.0}),
        (TrainConfig, {"learning_rate": 0.0}),
        (TrainConfig, {"learning_rate": math.nan}),
        (TrainConfig, {"min_learning_rate": -1.0}),
        (TrainConfig, {"warmup_steps": -1}),
        (TrainConfig, {"decay_share": 0.0}),
        (TrainConfig, {"minutes": math.inf}),
        (TrainConfig, {"schedule": "step"}),
        (TrainConfig, {"seed": -1}),
    ],
)
def test_values_out_of_range_are_refused_by_name(cls: type, values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        build(cls, values)


@pytest.mark.parametrize("field", ["norm", "norm_order", "position", "feed_forward", "attention"])
def test_a_part_may_have_any_name_in_python_alone(field: str) -> None:
    named: dict[str, Any] = {field: "squash_2"}
    config = GPTConfig(**named)
    assert foreign_parts(config) == named
    assert getattr(config.replace(n_layers=3), field) == "squash_2"
    assert build(GPTConfig, as_table(config), open_names=True) == config
    with pytest.raises(ConfigError, match=f"^{field} = 'squash_2': expected one of "):
        build(GPTConfig, named)
    with pytest.raises(ConfigError, match=f"^{field} = 'squash_2': expected one of "):
        preset("nano", **named)
    with pytest.raises(ConfigError, match=f"^{field} = 'squash_2': the shapes of a part"):
        list(parameter_shapes(config))
    names: list[Any] = ["no norm", "", "a.b", "é", "x" * 81, 3, None]
    for name in names:
        with pytest.raises(ConfigError, match=f"^{field} = "):
            GPTConfig(**{field: name})


def test_a_later_field_is_written_where_it_says_something() -> None:
    assert "attention" not in as_table(GPTConfig())
    assert as_table(GPTConfig(attention="linear"))["attention"] == "linear"
    assert build(GPTConfig, as_table(GPTConfig())) == GPTConfig()


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match=r"n_heads = 7 does not divide emb_dim = 768.* is 6"):
        GPTConfig(n_heads=7)


def test_the_feed_forward_follows_the_width_unless_it_was_given() -> None:
    assert GPTConfig().replace(emb_dim=384).ffn_dim == 4 * 384
    assert GPTConfig(ffn_dim=100).replace(emb_dim=384).ffn_dim == 100


def test_widths_follow_what_they_derive_from_unless_they_were_given() -> None:
    config = GPTConfig(emb_dim=96, n_heads=12)
    assert (config.head_dim, config.n_kv_heads) == (8, 12)
    assert config.replace(n_heads=6).head_dim == 16
    assert config.replace(n_heads=6).n_kv_heads == 6
    given = GPTConfig(emb_dim=96, n_heads=12, head_dim=10, n_kv_heads=3)
    assert given.replace(n_heads=6).head_dim == 10
    assert given.replace(n_heads=6).n_kv_heads == 3
    assert GPTConfig(emb_dim=100, n_heads=12, head_dim=16).head_dim == 16, "need not divide"


def test_the_window_pattern_repeats_over_the_layers() -> None:
    config = preset("gemma3-270m")
    windows = [config.window_of(layer) for layer in range(config.n_layers)]
    assert windows == ([512] * 5 + [None]) * 3
    assert GPTConfig().window_of(0) is None
    assert preset("mistral-7b").window_of(31) == 4096


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        GPTConfig().n_layers = 3  # type: ignore[misc]
