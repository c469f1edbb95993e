"""Adapters through `peft` itself: what it loads of ours, and what we load of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from groundup import GPT, ByteTokenizer, GPTConfig, load, save
from groundup.base.errors import RunError, UsageError
from groundup.finetune import load_classifier
from groundup.runs import RunFolder
from groundup.weights import (
    export_adapter,
    export_model,
    import_adapter,
    import_merged,
    import_model,
    import_with_base,
)
from tests.finetune.making import train, with_records
from tests.weights.hf.models import saved

SIZE: dict[str, Any] = {"vocab_size": 257, "context_length": 32, "emb_dim": 32, "n_layers": 2}
MODELS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_heads": 4, "position": "learned", "norm": "layernorm", "feed_forward": "gelu_tanh",
             "bias": True, "qkv_bias": True, "tie_embeddings": True},
    "llama": {"n_heads": 4, "n_kv_heads": 2, "position": "rope", "norm": "rmsnorm",
              "feed_forward": "swiglu", "bias": False, "qkv_bias": False, "tie_embeddings": True},
}  # fmt: skip
ALL = {"gpt2": ["c_attn", "c_proj", "c_fc"], "llama": "all-linear"}
TOKENS = torch.arange(24)[None] * 11 % 257


def base_of(kind: str, folder: Path) -> Path:
    torch.manual_seed(3)
    model = GPT(GPTConfig(**SIZE, **MODELS[kind]))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return save(model, ByteTokenizer(), folder / "base")


def randomise(model: torch.nn.Module) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_magnitude" in name:
                parameter.mul_(torch.rand_like(parameter) + 0.5)
            elif "lora_" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.2)


def made_by_peft(kind: str, folder: Path, **settings: Any) -> tuple[Path, Tensor]:
    """Return the run of a base, an adapter beside it that peft saves as `theirs`, its logits."""
    base = base_of(kind, folder)
    export_model(base, folder / "hf", "hf")
    whole = AutoModelForCausalLM.from_pretrained(folder / "hf")
    asked = {"r": 4, "lora_alpha": 6, "target_modules": ALL[kind], "task_type": "CAUSAL_LM"}
    model = get_peft_model(whole, LoraConfig(**{**asked, **settings})).eval()
    randomise(model)
    model.save_pretrained(str(folder / "theirs"))
    with torch.no_grad():
        return base, model(TOKENS).logits


def assert_close(found: Tensor, expected: Tensor) -> None:
    assert float((found - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


@torch.no_grad()
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_dora": True},
        {"use_rslora": True, "rank_pattern": {"c_proj": 2, "down_proj": 7}},
        {"alpha_pattern": {"c_fc": 3, "layers.1.self_attn.q_proj": 9}},
        {"layers_to_transform": [1], "target_modules": ["c_attn", "q_proj"]},
    ],
)
@pytest.mark.parametrize("kind", MODELS)
def test_an_adapter_of_peft_comes_in_and_goes_out_again(
    tmp_path: Path, kind: str, settings: dict[str, Any]
) -> None:
    base, logits = made_by_peft(kind, tmp_path, **settings)
    done = import_adapter(tmp_path / "theirs", tmp_path / "run", base)
    assert done.difference == 0.0
    ours = load(tmp_path / "run").model(TOKENS)
    assert_close(ours, logits)
    assert float((load(base).model(TOKENS) - logits).abs().max()) > 0.1
    out = export_adapter(tmp_path / "run", tmp_path / "out")
    assert out.notices == (f"its base goes with it: groundup export {base} base --format hf",)
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    back = PeftModel.from_pretrained(whole, str(tmp_path / "out")).eval()
    assert_close(back(TOKENS).logits, ours)
    written = load_file(tmp_path / "out" / "adapter_model.safetensors")
    listed = {name for name in back.state_dict() if "lora_" in name}
    assert len(written) == len(listed)


def test_joined_matrices_have_the_sum_of_the_ranks(tmp_path: Path) -> None:
    base, _ = made_by_peft("gpt2", tmp_path)
    import_adapter(tmp_path / "theirs", tmp_path / "run", base)
    export_adapter(tmp_path / "run", tmp_path / "out")
    told = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (told["r"], told["lora_alpha"], told["fan_in_fan_out"]) == (4, 6, True)
    assert told["rank_pattern"] == {"c_attn": 12}
    assert told["alpha_pattern"] == {"c_attn": 18}


def test_a_whole_run_and_a_model_are_told_from_adapters(tmp_path: Path) -> None:
    base, _ = made_by_peft("llama", tmp_path)
    with pytest.raises(UsageError, match="holds no adapters, which alone peft saves"):
        export_adapter(base, tmp_path / "out")
    with pytest.raises(UsageError, match="an adapter of peft, which is no model by itself"):
        import_model(tmp_path / "theirs", tmp_path / "run")
    with pytest.raises(UsageError, match=r"no adapter_config\.json in it; --from RUN is for"):
        import_adapter(tmp_path / "hf", tmp_path / "run", base)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"target_modules": ["q_proj", "embed_tokens"]}, "would change the other, too"),
        ({"modules_to_save": ["norm"]}, "modules_to_save = .*nothing besides"),
        ({"bias": "all"}, "bias = all: expected an adapter of LoRA or DoRA and nothing besides"),
    ],
)
def test_what_is_more_than_adapters_of_blocks_is_refused(
    tmp_path: Path, settings: dict[str, Any], told: str
) -> None:
    base, _ = made_by_peft("llama", tmp_path, **settings)
    with pytest.raises(UsageError, match=told):
        import_adapter(tmp_path / "theirs", tmp_path / "run", base)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"r": 5}, "has rank 4 in adapter_model.safetensors, and 5 there"),
        ({"r": "x"}, "r = x: expected a number above 0"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights = pissa"),
        ({"peft_type": "IA3"}, "peft_type = IA3"),
        ({"use_dora": True}, r"missing .*lora_magnitude_vector"),
        ({"alpha_pattern": {"(": 3}}, r"alpha_pattern: \("),
    ],
)
def test_settings_that_do_not_fit_are_told(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    base, _ = made_by_peft("llama", tmp_path)
    file = tmp_path / "theirs" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises((RunError, UsageError), match=told):
        import_adapter(tmp_path / "theirs", tmp_path / "run", base)


def test_tensors_of_another_base_are_told(tmp_path: Path) -> None:
    base, _ = made_by_peft("llama", tmp_path)
    file = tmp_path / "theirs" / "adapter_model.safetensors"
    tensors = load_file(file)
    name = next(name for name in tensors if name.endswith("lora_A.weight"))
    save_file({**tensors, name.replace("layers.0", "layers.9"): tensors[name].clone()}, file)
    with pytest.raises(RunError, match=r"layers\.9\..* is of no matrix of the base"):
        import_adapter(tmp_path / "theirs", tmp_path / "run", base)
    save_file({**tensors, name: torch.zeros(4, 5)}, file)
    with pytest.raises(RunError, match=r"is \(4, 5\), expected \(4, \d+\)"):
        import_adapter(tmp_path / "theirs", tmp_path / "run", base)
    file.write_bytes(b"x")
    with pytest.raises(RunError, match="adapter_model"):
        import_adapter(tmp_path / "theirs", tmp_path / "run", base)


@torch.no_grad()
@pytest.mark.parametrize("settings", [{}, {"use_dora": True}])
@pytest.mark.parametrize("kind", MODELS)
def test_with_the_base_that_it_names(tmp_path: Path, kind: str, settings: dict[str, Any]) -> None:
    """The base is the folder that the config names, or one of its name beside the adapter."""
    _, logits = made_by_peft(kind, tmp_path, **settings)
    assert import_merged(tmp_path / "theirs", tmp_path / "whole").difference == 0
    assert_close(load(tmp_path / "whole").model(TOKENS), logits)
    file = tmp_path / "theirs" / "adapter_config.json"
    told = json.loads(file.read_text())
    file.write_text(json.dumps(told | {"base_model_name_or_path": "/elsewhere/hf"}))
    done = import_with_base(tmp_path / "theirs", tmp_path / "run")
    assert done.notices[0] == f"its base is {tmp_path / 'hf'}, now the run {tmp_path / 'run-base'}"
    assert_close(load(tmp_path / "run").model(TOKENS), logits)
    file.write_text(json.dumps(told | {"base_model_name_or_path": "owner/other"}))
    for bring in (import_merged, import_with_base):
        with pytest.raises(UsageError, match="the base that this adapter names is no folder here"):
            bring(tmp_path / "theirs", tmp_path / "third")


def test_what_it_comes_of_is_kept(tmp_path: Path) -> None:
    base, _ = made_by_peft("llama", tmp_path)
    import_adapter(tmp_path / "theirs", tmp_path / "run", base)
    manifest = RunFolder(tmp_path / "run").read()
    assert manifest.source is not None
    assert manifest.base is not None
    assert (manifest.source.format, manifest.source.name) == ("peft", "theirs")
    assert manifest.base.run == str(base)


@torch.no_grad()
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("method", ["lora", "dora"])
def test_peft_decides_as_our_classifier(kind: str, method: str, tmp_path: Path) -> None:
    base = base_of(kind, tmp_path)
    with torch.enable_grad():
        with_records(tmp_path)
        how: dict[str, Any] = {"method": method, "lora_rank": 3, "learning_rate": 0.1}
        train(tmp_path / "run", pooling="last", steps=4, **how)
    export_model(base, tmp_path / "hf", "hf")
    done = export_adapter(tmp_path / "run", tmp_path / "adapter")
    assert "the labels: a, b" in done.notices[0]
    ours = load_classifier(tmp_path / "run")
    start = AutoModelForSequenceClassification.from_pretrained(tmp_path / "hf", num_labels=2)
    start.config.pad_token_id = 256
    theirs = PeftModel.from_pretrained(start, tmp_path / "adapter").eval()
    assert type(theirs).__name__ == "PeftModelForSequenceClassification"
    lengths = torch.tensor([24, 9])
    tokens = (torch.arange(48) * 11 % 250).view(2, 24)
    tokens[1, 9:] = 256
    mask = (torch.arange(24) < lengths[:, None]).long()
    found = theirs(input_ids=tokens, attention_mask=mask).logits
    assert_close(found, ours.model(tokens, lengths))
    with pytest.raises(UsageError, match="modules_to_save"):
        import_adapter(tmp_path / "adapter", tmp_path / "again", base)


def imported(name: str, folder: Path, **changes: Any) -> tuple[Path, Any]:
    """Return the run of a small model of `transformers` of this family, and the model."""
    from_hub: Any = saved(name, folder / "hf", vocab_size=257, **changes)
    ByteTokenizer().save(folder / "hf" / "tokenizer.json")
    import_model(folder / "hf", folder / "base")
    return folder / "base", from_hub


def adapter_of_theirs(model: Any, folder: Path) -> Tensor:
    """Have peft save an adapter of all matrices as `theirs`; return the logits with it."""
    settings = LoraConfig(r=4, lora_alpha=6, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, settings).eval()
    randomise(adapted)
    adapted.save_pretrained(str(folder / "theirs"))
    logits: Tensor = adapted(TOKENS).logits
    return logits


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "share"), [("phi3", 1.0), ("gpt_neox", 0.5), ("glm4", 0.5), ("nanochat", 1.0)]
)
def test_adapters_have_the_names_of_the_family_that_their_base_came_from(
    name: str, share: float, tmp_path: Path
) -> None:
    turns = {"rope_type": "default", "rope_theta": 9e3, "partial_rotary_factor": share}
    base, model = imported(name, tmp_path, rope_parameters=turns)
    expected = adapter_of_theirs(model, tmp_path)
    import_adapter(tmp_path / "theirs", tmp_path / "ours", base)
    assert_close(load(tmp_path / "ours").model(TOKENS), expected)
    export_adapter(tmp_path / "ours", tmp_path / "out")
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "hf", attn_implementation="eager")
    again = PeftModel.from_pretrained(whole, str(tmp_path / "out")).eval()
    assert_close(again(TOKENS).logits, expected)


@torch.no_grad()
def test_an_adapter_of_a_base_whose_factors_are_in_its_weights_is_refused(tmp_path: Path) -> None:
    base, model = imported("granite", tmp_path)
    adapter_of_theirs(model, tmp_path)
    with pytest.raises(UsageError, match=r"the factors of its base, a granite, .*merge_and_unload"):
        import_adapter(tmp_path / "theirs", tmp_path / "ours", base)
    config = tmp_path / "theirs" / "adapter_config.json"
    told = json.loads(config.read_text()) | {"base_model_name_or_path": str(tmp_path / "hf")}
    config.write_text(json.dumps(told))
    with pytest.raises(UsageError, match="the factors of its base"):
        import_merged(tmp_path / "theirs", tmp_path / "ours")
