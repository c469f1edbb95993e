"""Special tokens in and out: chat templates render as in transformers, at every stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from groundup.generate import open_chat
from groundup.generate.run_settings import run_template
from groundup.runs.load import LoadedRun, load
from groundup.weights import export_model, import_model
from groundup.weights.hf.companions import read_tokenizer
from tests.weights.gguf.making import byte_level

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<pad>", "<unk>")
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Who?"},
    {"role": "assistant", "content": "Me."},
    {"role": "user", "content": "Why?"},
]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}\n{% endfor %}"
    "{% if bos_token is defined %}b{% endif %}{% if pad_token is none %}n{% endif %}"
    "{% if unk_token %}{{ unk_token ~ pad_token }}{% endif %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def a_model(folder: Path, config: dict[str, Any], **files: Any) -> Path:
    """Make a small model of Hugging Face's with the tokenizer above and `files` beside it."""
    tokenizer = byte_level("smollm", SPECIAL)
    shape = LlamaConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=16, intermediate_size=16,
        num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=256, **config,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(folder)
    tokenizer.save(folder / "tokenizer.json")
    for name, values in files.items():
        if values is not None:
            (folder / f"{name}.json").write_text(json.dumps(values))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def added(content: str) -> dict[str, Any]:
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    return {"__type": "AddedToken", "content": content, **flags, "special": True}


NAMED: dict[str, dict[str, Any]] = {
    "all": {"tokenizer_config": {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>",
                                 "pad_token": "<pad>", "unk_token": "<unk>"}},
    "bos is null": {"tokenizer_config": {"bos_token": None, "eos_token": "<|im_end|>"}},
    "bos is absent": {"tokenizer_config": {"eos_token": "<|im_end|>"}},
    "eos is null": {"tokenizer_config": {"bos_token": "<|im_start|>", "eos_token": None}},
    "nothing is named": {"tokenizer_config": {"tokenizer_class": "PreTrainedTokenizerFast"}},
    "as objects": {"tokenizer_config": {"bos_token": added("<|endoftext|>"),
                                        "eos_token": added("<|im_end|>")}},
    "one for both": {"tokenizer_config": {"bos_token": "<|endoftext|>",
                                          "eos_token": "<|endoftext|>"}},
    "an older file": {"tokenizer_config": {"bos_token": "<|im_end|>"},
                      "special_tokens_map": {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>",
                                             "unk_token": "<unk>"}},
    "an older file that does not count": {
        "tokenizer_config": {"bos_token": "<|im_end|>",
                             "added_tokens_decoder": {"3": {"content": "<pad>", "special": True}}},
        "special_tokens_map": {"bos_token": "<|im_start|>"}},
}  # fmt: skip


@pytest.mark.parametrize("case", NAMED)
def test_templates_render_as_in_transformers_at_every_stage(tmp_path: Path, case: str) -> None:
    ids = {"bos_token_id": 1, "eos_token_id": [0, 2]}
    source = a_model(tmp_path / "hf", ids, **NAMED[case])
    theirs = AutoTokenizer.from_pretrained(source)
    expected = theirs.apply_chat_template(TALK, add_generation_prompt=True, return_dict=False)

    def comes_as(source: Path, name: str) -> LoadedRun:
        loaded = load(import_model(source, tmp_path / name, verify=False).path)
        template = run_template(loaded)
        assert template is not None
        assert template.encode(loaded.tokenizer, TALK) == expected
        return loaded

    comes_as(source, "run")
    export_model(tmp_path / "run", tmp_path / "out", verify=False)
    again = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert again.special_tokens_map == theirs.special_tokens_map
    assert (
        again.apply_chat_template(TALK, add_generation_prompt=True, return_dict=False) == expected
    )
    assert GenerationConfig.from_pretrained(tmp_path / "out").eos_token_id == [0, 2]
    comes_as(tmp_path / "out", "back")
    if theirs.eos_token:  # llama.cpp always has one, and templates call it so
        export_model(tmp_path / "run", tmp_path / "a.gguf", "gguf", verify=False)
        back = comes_as(tmp_path / "a.gguf", "gguf")
        assert sorted(back.generation["stop_tokens"]) == [0, 2]


@pytest.mark.parametrize(
    "config",
    [
        {"eos_token": "<|im_end|>"},
        {"added_tokens_decoder": {"2": {"content": "<|im_end|>", "special": True}}},
        {"added_tokens_decoder": {"2": {"content": "<|im_end|>", "special": False}}},
        {"additional_special_tokens": ["<|im_end|>"]},
        {"added_tokens_decoder": {"NEW": {"content": "<new>", "special": True}}},
        {"added_tokens_decoder": {"9999": {"content": "<far>", "special": True}}},
    ],
)
def test_tokens_that_only_the_tokenizers_config_lists(tmp_path: Path, config: Any) -> None:
    source = a_model(tmp_path / "hf", {})
    path = source / "tokenizer.json"
    document = json.loads(path.read_text())
    document["added_tokens"] = [t for t in document["added_tokens"] if t["id"] != 2]
    path.write_text(json.dumps(document))
    n = len(document["model"]["vocab"])
    values = json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **config})
    (source / "tokenizer_config.json").write_text(values.replace("NEW", str(n)))
    found, notices = read_tokenizer(source, n + 1)
    assert found is not None
    if "<far>" in values:
        assert notices == []
        return
    theirs = AutoTokenizer.from_pretrained(source)
    text = "a<|im_end|>b<new> c"
    assert found.encode_markup(text) == theirs(text, add_special_tokens=False)["input_ids"]
    assert "added the tokens that only tokenizer_config.json lists" in notices[0]


def test_a_name_that_is_no_token_is_told(tmp_path: Path) -> None:
    source = a_model(tmp_path / "hf", {}, tokenizer_config={"pad_token": "<none>"})
    notices = import_model(source, tmp_path / "run", verify=False).notices
    assert any("pad_token = <none> is no token" in line for line in notices)


def test_where_no_settings_tell_an_end_the_tokenizers_own_counts(tmp_path: Path) -> None:
    none: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None}
    source = a_model(tmp_path / "hf", none, tokenizer_config={"eos_token": "<|im_end|>"})
    (source / "generation_config.json").unlink(missing_ok=True)
    assert load(import_model(source, tmp_path / "run").path).generation["stop_tokens"] == [2]


def test_what_ends_a_turn_ends_an_answer_though_no_setting_tells(tmp_path: Path) -> None:
    source = a_model(tmp_path / "hf", {"bos_token_id": None, "eos_token_id": 0},
                     tokenizer_config={"eos_token": "<|im_end|>"})  # fmt: skip
    run = load(import_model(source, tmp_path / "run").path)
    assert run.generation["stop_tokens"] == [0]
    assert open_chat(run).settings["stop_tokens"] == [0, 2]


def test_an_end_beyond_the_vocabulary_is_told_and_passed_over(tmp_path: Path) -> None:
    ids = {"bos_token_id": 50256, "eos_token_id": 50256}
    source = a_model(tmp_path / "hf", ids, tokenizer_config={})
    done = import_model(source, tmp_path / "run")
    assert any("eos_token_id = 50256 is passed over" in line for line in done.notices)
    loaded = load(done.path)
    assert "stop_tokens" not in loaded.generation
    assert loaded.tokenizer.end_of_text == 0


@pytest.mark.parametrize("split", ["qwen2", "smollm"])
def test_a_tokenizer_that_transformers_takes_for_qwens_is_told(tmp_path: Path, split: str) -> None:
    tokenizer = byte_level(split, SPECIAL)
    shape = Qwen2Config(
        vocab_size=tokenizer.vocab_size, hidden_size=16, intermediate_size=16,
        num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, eos_token_id=0,
    )  # fmt: skip
    Qwen2ForCausalLM(shape).save_pretrained(tmp_path / "hf")
    tokenizer.save(tmp_path / "hf" / "tokenizer.json")
    names = {"eos_token": "<|im_end|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (tmp_path / "hf" / "tokenizer_config.json").write_text(json.dumps(names))
    import_model(tmp_path / "hf", tmp_path / "run", verify=False)
    out = tmp_path / "out"
    notices = export_model(tmp_path / "run", out, verify=False).notices
    theirs = AutoTokenizer.from_pretrained(out)
    assert theirs.special_tokens_map == {"eos_token": "<|im_end|>"}
    text = "In 1984, don't\n\n  e\u0301 DON'T"
    is_told = any("PreTrainedTokenizerFast" in line for line in notices)
    assert is_told == (theirs(text)["input_ids"] != tokenizer.encode(text))
    assert is_told == (split != "qwen2")
    read = PreTrainedTokenizerFast.from_pretrained(out)
    assert read(text)["input_ids"] == tokenizer.encode(text)


def test_gpt2_whose_class_tells_its_tokens_keeps_them(tmp_path: Path) -> None:
    ids = {"bos_token_id": 0, "eos_token_id": 0}
    source = a_model(tmp_path / "hf", ids, tokenizer_config={"model_max_length": 256})
    export_model(import_model(source, tmp_path / "run").path, tmp_path / "out")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert (theirs.bos_token, theirs.eos_token) == ("<|endoftext|>", "<|endoftext|>")
