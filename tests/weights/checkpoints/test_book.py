"""The book's checkpoints against the book's own GPTModel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from llms_from_scratch.ch04 import GPTModel, GPTModelFast
from safetensors.torch import save_file
from torch import nn

from groundup.base.errors import GroundupError, RunError, UsageError
from groundup.weights.early_checks import IncompleteError
from groundup.weights.formats import open_pretrained
from tests.model.helpers import randomise
from tests.weights.checkpoints.helpers import assert_same, opened, saved

SHAPE: dict[str, Any] = {
    "vocab_size": 61,
    "context_length": 16,
    "emb_dim": 24,
    "n_heads": 3,
    "n_layers": 2,
    "drop_rate": 0.1,
    "qkv_bias": False,
}


def model(kind: Any = GPTModel, **changes: Any) -> nn.Module:
    made: nn.Module = kind(SHAPE | changes).eval()
    randomise(made)
    return made


@pytest.mark.parametrize("qkv_bias", [False, True])
@pytest.mark.parametrize("kind", [GPTModel, GPTModelFast])
def test_logits_are_those_of_the_book(tmp_path: Path, kind: Any, qkv_bias: bool) -> None:
    theirs = model(kind, qkv_bias=qkv_bias)
    found = opened(saved(tmp_path, theirs.state_dict()), n_heads=3, attention_drop_rate=None)
    assert found.config.qkv_bias is qkv_bias
    assert_same(found, theirs)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module."])
def test_with_the_optimizer_beside_and_a_prefix(tmp_path: Path, prefix: str) -> None:
    theirs = model()
    weights = {prefix + name: tensor for name, tensor in theirs.state_dict().items()}
    content = {"model_state_dict": weights, "optimizer_state_dict": {"state": {}}}
    assert_same(opened(saved(tmp_path, content), n_heads=3), theirs)


def test_a_lone_safetensors_file_with_a_config_beside(tmp_path: Path) -> None:
    theirs = model()
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(SHAPE))
    found = opened(tmp_path / "model.safetensors")
    assert_same(found, theirs)
    assert found.config.drop_rate == 0.1


def test_a_pickle_of_before_pytorch_1_6(tmp_path: Path) -> None:
    theirs = model()
    file = tmp_path / "model.pth"
    torch.save(theirs.state_dict(), file, _use_new_zipfile_serialization=False)
    assert_same(opened(file, n_heads=3), theirs)


def test_what_nobody_says_is_asked_for(tmp_path: Path) -> None:
    file = saved(tmp_path, model(emb_dim=128, n_heads=2).state_dict())
    with pytest.raises(UsageError, match=r"n_heads \(such as 2\), nor .*; add --set n_heads=\?$"):
        opened(file)


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ((False, {}, False), ["--trust-pickle", "--tokenizer", "gpt2", "--set", "n_heads=?"]),
        ((False, {"n_heads": 3}, True), ["--trust-pickle"]),
        ((True, {}, False), ["--tokenizer", "?", "--set", "n_heads=?"]),
    ],
)
def test_all_that_is_missing_is_asked_for_at_once(tmp_path: Path, words: Any, asked: Any) -> None:
    """Of a pickle that nobody has said to trust, its names tell what else will be missing."""
    file = saved(tmp_path, {"model_state_dict": model().state_dict()})
    with pytest.raises(IncompleteError, match=r"model\.pth, a checkpoint of the book's") as error:
        open_pretrained(file, *words)
    assert error.value.words == asked


def test_a_classifier_is_refused_before_its_file_is_trusted(tmp_path: Path) -> None:
    file = saved(tmp_path, changed("out_head.bias", torch.zeros(2)))
    with pytest.raises(RunError, match="the head of a classifier"):
        open_pretrained(file, False)


@pytest.mark.parametrize("length", [10, 200, 4000])
def test_a_damaged_pickle_has_to_be_trusted_first(tmp_path: Path, length: int) -> None:
    file = saved(tmp_path, model().state_dict())
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(IncompleteError) as error:
        open_pretrained(file, False)
    assert error.value.words == ["--trust-pickle"]


def test_a_config_beside_that_makes_no_sense_hides_no_question(tmp_path: Path) -> None:
    file = saved(tmp_path, model().state_dict())
    (tmp_path / "config.json").write_text('{"vocab_size": [], "emb_dim": "wide"}')
    with pytest.raises(IncompleteError, match=r"--set n_heads=\?$"):
        open_pretrained(file, False)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_layers": 6}, "--set n_layers=6, but its tensors have 2; leave it out"),
        ({"norm": "rmsnorm"}, "--set norm=rmsnorm, but the book's GPTModel has layernorm"),
        ({"window": 5}, "--set window=5, but the book's GPTModel has None"),
        ({"n_heads": 5}, "n_heads = 5 does not divide emb_dim = 24"),
        ({"n_heads": 3, "n_kv_heads": 1}, "--set n_kv_heads=1"),
    ],
)
def test_settings_that_contradict(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    file = saved(tmp_path, model().state_dict())
    with pytest.raises(UsageError, match=r"model\.pth") as error:
        opened(file, **settings)
    assert said in str(error.value)


@pytest.mark.parametrize(
    "told", [{"n_layers": 6}, {"n_heads": "3"}, {"n_heads": 0}, {"emb_dim": True}, [1]]
)
def test_a_config_that_contradicts_or_makes_no_sense(tmp_path: Path, told: Any) -> None:
    file = saved(tmp_path, model().state_dict())
    (tmp_path / "config.json").write_text(
        json.dumps({"n_heads": 3} | told if told != [1] else told)
    )
    with pytest.raises(RunError):
        opened(file)


def changed(name: str, value: Any) -> dict[str, Any]:
    weights = model().state_dict()
    if value is None:
        del weights[name]
    else:
        weights[name] = value
    return weights


WRONG: list[tuple[Any, str]] = [
    (changed("trf_blocks.1.norm1.scale", None), r"missing trf_blocks\.1\.norm1\.scale"),
    (changed("trf_blocks.0.att.out_proj.weight", None), r"no trf_blocks\.0\.att\.out_proj\.weight"),
    (changed("tok_emb.weight", None), r"no tok_emb\.weight"),
    (changed("tok_emb.weight", torch.zeros(3)), r"tok_emb\.weight is \(3,\), expected a matrix"),
    (changed("final_norm.shift", torch.zeros(7)), r"final_norm\.shift is \(7,\), expected \(24,\)"),
    (changed("final_norm.shift", "text"), r"final_norm\.shift is str"),
    (changed("extra.weight", torch.zeros(2)), r"unexpected extra\.weight"),
    (changed("tok_emb.weight", torch.zeros(1).expand(1 << 24, 24)), "more numbers than the file"),
    (changed("out_head.bias", torch.zeros(2)), r"out_head\.bias is the head of a classifier"),
    (changed("trf_blocks.0.ff.fc1.weight", torch.zeros(2)), "bonus chapters"),
    (changed("trf_blocks.999999.att.out_proj.weight", torch.zeros(2)), "no trf_blocks.2.att"),
    ([1, 2], "expected a state dict"),
    ({}, "of no checkpoint that is known"),
    ({"a.weight": torch.zeros(2)}, r"its tensors \(a\.weight, …\) are of no checkpoint"),
]


@pytest.mark.parametrize(("content", "said"), WRONG)
def test_what_is_no_whole_model_is_refused(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(GroundupError, match=rf"model\.pth.*{said}") as error:
        opened(saved(tmp_path, content), n_heads=3)
    assert "\n" not in str(error.value)


def test_a_name_is_no_format(tmp_path: Path) -> None:
    """A pickle may be called anything, and what is called one need not be one."""
    file = saved(tmp_path, model().state_dict(), "model.bin")
    assert opened(file, n_heads=3).config.n_layers == 2
    (tmp_path / "text.pth").write_text("not a model at all")
    with pytest.raises(RunError, match="no model format that is known; give a Hugging Face"):
        opened(tmp_path / "text.pth")
