"""Configs in both directions: read, written, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from groundup.base.errors import RunError, UsageError
from groundup.config import PRESETS, GPTConfig, preset
from groundup.weights.equivalence import differences
from groundup.weights.hf.families import FAMILIES, family_of
from groundup.weights.hf.native import native_class
from tests.weights.hf.models import MODELS

SOURCE = Path("config.json")
LLAMA: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "head_dim": 16,
}
GPT2: dict[str, Any] = {"vocab_size": 100, "n_embd": 64, "n_layer": 4, "n_head": 4}


def read(model_type: str, **values: Any) -> GPTConfig:
    base = GPT2 if model_type == "gpt2" else LLAMA
    table = {**base, "model_type": model_type, **values}
    return family_of(table, SOURCE)[1].read(table, SOURCE)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_what_a_config_leaves_out_is_as_transformers_has_it(model_type: str) -> None:
    family = FAMILIES[model_type]
    theirs = AutoConfig.for_model(model_type)
    flat = {**vars(theirs), **(getattr(theirs, "rope_parameters", None) or {})}
    local = flat.get("sliding_attention", {})
    flat |= flat.get("full_attention", {})
    flat |= {"rope_local_base_freq": local.get("rope_theta")}
    flat |= {"sliding_window_pattern": flat.get("_sliding_window_pattern")}
    flat |= {"num_experts": flat.get("num_local_experts", flat.get("num_experts"))}
    flat |= {"rotary_emb_base": flat.get("rope_theta")}
    flat |= {"rotary_pct": flat.get("partial_rotary_factor")}
    for key, value in family.defaults.items():
        if key == "rope_scaling":
            assert value.items() <= theirs.rope_parameters.items()
            continue
        if key == "sliding_window_pattern" and flat[key] is None:
            windows = [kind == "sliding_attention" for kind in flat["layer_types"]]
            assert windows == [bool((i + 1) % value) for i in range(len(windows))]
            continue  # theirs is a list by now
        if key in ("use_sliding_window", "hidden_act", "attention_bias") and key not in flat:
            continue  # the family has no such setting
        if key == "sliding_window" and flat.get("use_sliding_window") is False:
            continue  # switched off, transformers forgets its size
        assert flat[key] == value, key


NATIVE = [name for name in PRESETS if name != "speedrun"]
KIN = {
    **dict.fromkeys(("pico", "nano", "micro", "mini", "qwen3"), "qwen3"),
    **dict.fromkeys(("smollm2", "llama", "phi4", "ministral"), "llama"),
    **dict.fromkeys(("qwen2", "seed-oss"), "qwen2"),
    **dict.fromkeys(("gpt-neo", "tinystories"), "gpt_neo"),
    **dict.fromkeys(("phi-1", "phi-2"), "phi"),
    "gpt3": "gpt2",
    "smollm3": "smollm3",
    "qwen3-30b": "qwen3_moe",
    "qwen1.5-moe": "qwen2_moe",
    "gpt-oss": "gpt_oss",
    "gemma-": "gemma",
    "gemma3": "gemma3_text",
    "pythia": "gpt_neox",
    "phi3": "mistral",
    "phi4-mini": "phi3",
    "afm": "arcee",
    "command": "cohere2",
}
"""The first class that can express a preset, where it is not called as its family is."""


@pytest.mark.parametrize("name", NATIVE)
def test_presets_have_native_classes_and_come_back(name: str) -> None:
    config = preset(name)
    native = native_class(config)
    values = json.loads(json.dumps({"model_type": native.model_type, **native.values}))
    back = family_of(values, SOURCE)[1].read(values, SOURCE)
    assert differences(native.config, back) == {}
    assert native.config.replace(qkv_bias=config.qkv_bias) == config
    kin = max((start for start in KIN if name.startswith(start)), key=len, default="")
    assert native.model_type == KIN.get(kin, name.partition("-")[0].partition(".")[0])
    assert bool(native.notices) == (native.model_type == "gpt2" and not config.qkv_bias)


def test_the_speedrun_has_no_native_class() -> None:
    with pytest.raises(UsageError, match="norm = layernorm where it has rmsnorm"):
        native_class(preset("speedrun"))


@pytest.mark.parametrize("name", NATIVE)
def test_transformers_reads_what_is_written_as_it_was_meant(name: str) -> None:
    """Their config class, filled with our values and saved in their layout, is ours again."""
    native = native_class(preset(name))
    theirs = AutoConfig.for_model(native.model_type, **native.values)
    table = {**theirs.to_dict(), "model_type": native.model_type}
    assert native.family.read(table, SOURCE) == native.family.read(native.values, SOURCE)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bias": False}, "bias = False where it has True"),
        ({"norm": "rmsnorm"}, "norm = rmsnorm where it has layernorm"),
        ({"n_experts": 4, "n_active_experts": 2}, "n_experts = 4 where it has 0"),
        ({"logit_softcap": 30.0}, "logit_softcap = 30.0 where it has 0.0"),
        ({"feed_forward": "swiglu"}, "feed_forward = swiglu where it has gelu_tanh"),
    ],
)
def test_what_has_no_native_class_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match="nearest preset that has one is gpt2-124m") as error:
        native_class(GPTConfig(**changes))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_the_nearest_preset_is_of_the_nearest_family() -> None:
    config = preset("qwen3-0.6b", norm_order="sandwich")
    with pytest.raises(UsageError, match=r"norm_order = sandwich where it has pre.* qwen3-0\.6b"):
        native_class(config)
    with pytest.raises(UsageError, match=r"query_pre_attn_scalar = 14\.5"):
        native_class(preset("gemma2-2b", query_pre_attn_scalar=14.5))


def test_fields_without_effect_do_not_matter() -> None:
    dressed = GPTConfig(qkv_bias=True, rope_base=77.0, rope_factor=3.0, window_pattern="LG")
    assert native_class(dressed).model_type == "gpt2"
    llama = preset("llama3-8b", query_pre_attn_scalar=128.0, rope_local_base=5.0, drop_rate=0.1)
    assert native_class(llama).model_type == "llama"
    assert native_class(preset("mistral-7b", window_pattern="G")).model_type == "llama"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"model_type": "llama"}, {"n_kv_heads": 4, "rope_base": 1e4, "tie_embeddings": False}),
        ({"model_type": "llama", "num_key_value_heads": None, "head_dim": None}, {"n_kv_heads": 4}),
        ({"model_type": "mistral", "num_key_value_heads": 2}, {"window": 4096}),
        ({"model_type": "mistral", "num_key_value_heads": 2, "sliding_window": None},
         {"window": None}),
        ({"model_type": "mixtral", "num_key_value_heads": 2},
         {"rope_base": 1e6, "n_experts": 8, "n_active_experts": 2, "window": None}),
        ({"model_type": "qwen2", "num_key_value_heads": 2, "sliding_window": 9},
         {"window": None, "qkv_bias": True}),
        ({"model_type": "qwen2", "num_key_value_heads": 2, "sliding_window": 9,
          "use_sliding_window": True, "max_window_layers": 3},
         {"window": 9, "window_pattern": "GGGL"}),
        ({"model_type": "gemma2", "num_key_value_heads": 2, "query_pre_attn_scalar": 16},
         {"window": 4096, "window_pattern": "LG", "attention_softcap": 50.0,
          "query_pre_attn_scalar": 0.0, "tie_embeddings": True}),
        ({"model_type": "gemma2", "num_key_value_heads": 2, "final_logit_softcapping": None},
         {"logit_softcap": 0.0}),
        ({"model_type": "gemma3_text", "num_key_value_heads": 2, "sliding_window_pattern": 3},
         {"window_pattern": "LLG", "rope_base": 1e6, "rope_local_base": 1e4}),
        ({"model_type": "gpt2", "n_inner": None}, {"ffn_dim": 256, "tie_embeddings": True}),
        ({"model_type": "gpt2", "reorder_and_upcast_attn": True}, {"qkv_bias": True}),
        ({"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 2}},
         {"rope_scaling": "linear", "rope_factor": 2.0}),
        ({"model_type": "llama", "max_position_embeddings": 99,
          "rope_parameters": {"rope_type": "llama3", "rope_theta": 7.5, "factor": 2.0,
                              "low_freq_factor": 1.0, "high_freq_factor": 4.0}},
         {"rope_base": 7.5, "rope_original_context": 99}),
        ({"model_type": "qwen3_moe", "num_key_value_heads": 2, "norm_topk_prob": True,
          "num_local_experts": 9}, {"n_experts": 9, "ffn_dim": 768, "qk_norm": "head"}),
    ],
)  # fmt: skip
def test_configs_as_they_are_found(values: dict[str, Any], expected: dict[str, Any]) -> None:
    config = read(**values)
    assert {name: getattr(config, name) for name in expected} == expected


YARN = {"rope_type": "yarn", "factor": 4.0}
NESTED: dict[str, Any] = {"full_attention": {}, "sliding_attention": {}}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (
        "llama",
        {"rope_scaling": {"rope_type": "su"}},
        "rope_type = su: expected one of default, dynamic, linear, llama3, yarn, longrope",
    ),
    ("llama", {"rope_scaling": {**YARN, "truncate": 1}}, "rope_scaling.truncate = 1"),
    ("llama", {"rope_scaling": {**YARN, "attention_factor": "1"}}, "attention_factor = 1"),
    ("phi3", {"rope_scaling": YARN}, "rope_scaling.short_factor = None: expected a list"),
    ("phi3", {"rope_scaling": {"type": "linear"}}, "rope_type = linear: expected one of default"),
    ("smollm3", {"no_rope_layers": [1, 0]}, "no_rope_layers"),
    ("smollm3", {"no_rope_layers": [1, 0, 2, 1]}, "no_rope_layers"),
    ("smollm3", {"no_rope_layer_interval": 0}, "no_rope_layer_interval = 0"),
    ("gpt_neox", {"attention_bias": False}, "attention_bias = False"),
    ("gpt_neox", {"use_parallel_residual": "yes"}, "use_parallel_residual = yes: expected True"),
    ("opt", {"do_layer_norm_before": False}, "do_layer_norm_before = False"),
    ("opt", {"word_embed_proj_dim": 32}, "word_embed_proj_dim = 32: expected the same as hidden"),
    ("starcoder2", {"use_bias": False}, "use_bias = False"),
    ("phi", {"qk_layernorm": True}, "qk_layernorm = True"),
    (
        "gpt_neo",
        {"attention_types": [[["global", "other"], 2]], "num_layers": 4, "num_heads": 4},
        "attention_types",
    ),
    ("llama", {"rope_scaling": 3}, "rope_scaling = 3: expected an object"),
    ("llama", {"rope_scaling": {"rope_type": "linear"}}, "rope_scaling.factor"),
    ("llama", {"rope_parameters": NESTED}, "the same rotations in all layers"),
    ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor = 0.5"),
    ("llama", {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor = 0.5"),
    ("llama", {"attention_bias": True}, "attention_bias = True: expected the same as mlp_bias"),
    ("llama", {"hidden_act": "relu"}, "hidden_act = relu: expected one of silu"),
    ("llama", {"hidden_act": ["silu"]}, "hidden_act"),
    ("llama", {"quantization_config": {"bits": 4}}, "quantization_config"),
    ("llama", {"num_attention_heads": 5}, "num_attention_heads = 5: expected a divisor of"),
    ("llama", {"hidden_size": "64"}, "hidden_size = 64: expected a value of type int"),
    ("llama", {"hidden_size": 64.0}, "hidden_size = 64.0: expected a value of type int"),
    ("llama", {"hidden_size": True}, "hidden_size = True: expected a value of type int"),
    ("llama", {"hidden_size": None}, "hidden_size = None: expected a value of type int"),
    ("llama", {"hidden_size": -64}, "emb_dim = -64"),
    ("llama", {"vocab_size": 10**30}, "vocab_size"),
    ("llama", {"num_hidden_layers": 10**9}, "num_hidden_layers = 1000000000: expected from 1"),
    ("llama", {"rms_norm_eps": 10**300}, "rms_norm_eps"),
    ("llama", {"tie_word_embeddings": "yes"}, "tie_word_embeddings = yes"),
    ("mistral", {"sliding_window": 0}, "window = 0"),
    ("qwen2", {"use_sliding_window": True, "max_window_layers": "1"}, "max_window_layers = 1"),
    ("qwen2", {"use_sliding_window": True, "layer_types": ["full_attention"]}, "layer_types"),
    ("qwen2", {"use_sliding_window": True, "layer_types": ["other"] * 4}, "layer_types = other"),
    ("qwen3", {"attention_bias": True}, "attention_bias = True"),
    ("nanochat", {"attention_bias": True}, "attention_bias = True"),
    ("nanochat", {"tie_word_embeddings": True}, "tie_word_embeddings = True"),
    ("nanochat", {"rope_scaling": YARN}, "yarn: expected one of default, dynamic, linear, llama3"),
    ("gemma2", {"use_bidirectional_attention": True}, "use_bidirectional_attention = True"),
    ("gemma3_text", {"rope_parameters": {"sliding_attention": YARN}}, "no scaling in sliding"),
    ("gemma3_text", {"rope_parameters": {"sliding_attention": 1}}, "expected objects for"),
    ("gemma3_text", {"sliding_window_pattern": 0}, "sliding_window_pattern = 0"),
    ("qwen3_moe", {"mlp_only_layers": [1]}, "mlp_only_layers"),
    ("qwen2_moe", {"decoder_sparse_step": 2}, "decoder_sparse_step = 2"),
    ("mixtral", {"num_experts_per_tok": 9}, "n_active_experts = 9"),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx = True"),
    ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights = False"),
    ("gpt2", {"add_cross_attention": True}, "add_cross_attention = True"),
    ("gpt2", {"activation_function": "relu"}, "activation_function = relu"),
]


@pytest.mark.parametrize(("model_type", "values", "said"), REFUSED)
def test_what_cannot_be_expressed_is_refused(
    model_type: str, values: dict[str, Any], said: str
) -> None:
    with pytest.raises(RunError) as error:
        read(model_type, **{"num_key_value_heads": 2, **values})
    message = str(error.value)
    assert message.startswith("config.json: ")
    assert said in message
    assert "\n" not in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("model_type", "said"),
    [
        ("lama", "no family that is known here; the nearest family is llama, which has no novelty"),
        ("deepseek_v3", r"narrow vector .*\(MLA\); the nearest family is llama"),
        (None, "no family"),
        (["llama"], "no family"),
        ("mamba" * 99, "no family"),
    ],
)
def test_an_unknown_architecture_is_refused(model_type: Any, said: str) -> None:
    with pytest.raises(RunError, match=f"model_type = .*: .*{said}") as error:
        family_of({**LLAMA, "model_type": model_type, "mlp_bias": False, "novelty": 1}, SOURCE)
    assert len(str(error.value)) < 300


def test_every_family_has_a_parity_model() -> None:
    assert {model["model_type"] for model in MODELS.values()} == set(FAMILIES)


def test_a_family_that_is_usually_slowed_is_told_where_it_is_not() -> None:
    config = preset("gpt-oss-20b", rope_scaling="none")
    native = native_class(config)
    theirs = AutoConfig.for_model(native.model_type, **native.values)
    assert theirs.rope_parameters["rope_type"] == "default"
    assert native.config.rope_scaling == "none"
