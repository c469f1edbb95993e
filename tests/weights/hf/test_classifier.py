"""Classifiers of `transformers`, of every family: the same scores there and here, both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification

from groundup.base.errors import RunError
from groundup.finetune import Classifier
from groundup.tokenizer import CharTokenizer
from groundup.weights.hf import read_hf, write_hf
from groundup.weights.hf.families import FAMILIES
from groundup.weights.pretrained import Exported, Pretrained
from tests.model.helpers import randomise
from tests.tokenizer.helpers import small_bpe
from tests.weights.hf.models import CONTEXT, MODELS, filled

LABELS = {0: "ham", 1: "spam", 2: "eggs"}
VOCABULARY, PAD = 700, 11
NAMES = [name for name, m in MODELS.items() if FAMILIES[m["model_type"]].classifier]
"""Those with a class that scores labels."""
HOW: dict[str, Any] = {"attn_implementation": "eager"}


def saved(name: str, folder: Path) -> Any:
    """Return a classifier of `transformers` with random weights, saved as it saves one."""
    settings = MODELS[name] | {"vocab_size": VOCABULARY, "id2label": LABELS, "pad_token_id": PAD}
    config = AutoConfig.for_model(**settings)
    model = AutoModelForSequenceClassification.from_config(config, **HOW).eval()
    randomise(model, scale=0.4)
    model.save_pretrained(folder)
    return model


def ours_of(found: Pretrained) -> Classifier:
    assert found.head is not None
    model = Classifier(filled(found), len(found.head.table.labels), found.head.table.pooling)
    model.head.weight = torch.nn.Parameter(found.head.weight.read())
    return model.eval()


def batch(pad: int) -> tuple[Tensor, Tensor]:
    """Return texts of several lengths, padded on the right, and their lengths."""
    lengths = torch.tensor([1, 9, CONTEXT, 30])
    tokens = 20 + torch.arange(4 * CONTEXT).view(4, CONTEXT) * 7919 % (VOCABULARY - 30)
    for row, length in zip(tokens, lengths, strict=True):
        row[length:] = pad
    return tokens, lengths


def assert_equal(ours: Classifier, theirs: Any, pad: int) -> None:
    tokens, lengths = batch(pad)
    expected = ours(tokens, lengths)
    most = 1e-5 * float(expected.abs().max())
    mask = torch.arange(CONTEXT) < lengths[:, None]
    found = theirs(input_ids=tokens, attention_mask=mask.long()).logits
    assert float((found - expected).abs().max()) <= most
    alone = theirs(input_ids=tokens[1:2, :9]).logits
    assert float((alone - expected[1:2]).abs().max()) <= most


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_in_and_out_with_equal_scores(name: str, tmp_path: Path) -> None:
    theirs = saved(name, tmp_path / "theirs")
    found = read_hf(tmp_path / "theirs")
    assert found.head is not None
    assert found.head.table.labels == tuple(LABELS.values())
    assert found.config.tie_embeddings
    ours = ours_of(found)
    assert_equal(ours, theirs, PAD)
    model = Exported(
        config=found.config,
        tensors=found.tensors,
        tokenizer=small_bpe(),
        chat_template=None,
        generation={},
        name="small",
        head=found.head,
    )
    notices = write_hf(model, tmp_path / "out")
    assert "<|endoftext|> pads a batch, on the right: no text becomes it" in notices
    back, told = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "out", output_loading_info=True, **HOW
    )
    assert type(back) is type(theirs)
    assert not any(told[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert back.config.id2label == LABELS
    assert back.config.label2id == {label: number for number, label in LABELS.items()}
    assert back.config.num_labels == 3
    assert back.config.problem_type == "single_label_classification"
    assert_equal(ours, back.eval(), small_bpe().end_of_text or 0)


def test_without_a_token_that_pads_one_text_at_a_time(tmp_path: Path) -> None:
    saved("llama", tmp_path / "theirs")
    found = read_hf(tmp_path / "theirs")
    model = Exported(
        config=found.config,
        tensors=found.tensors,
        tokenizer=CharTokenizer.train(["abc"]),
        chat_template=None,
        generation={"special_tokens": {"pad_token": "b"}},
        name="small",
        head=found.head,
    )
    (notice,) = write_hf(model, tmp_path / "out")
    assert "transformers decides about one text at a time" in notice
    assert json.loads((tmp_path / "out" / "config.json").read_text())["pad_token_id"] is None


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "reward": ({"rows": 1}, "gives one number"),
    "several labels": ({"problem_type": "multi_label_classification"}, "multi_label"),
    "regression": ({"problem_type": "regression"}, "regression"),
    "tokens": ({"architectures": ["LlamaForTokenClassification"]}, "LlamaForTokenClassification"),
    "answers": ({"architectures": ["LlamaForQuestionAnswering"]}, "LlamaForQuestionAnswering"),
    "a language model": ({"architectures": ["LlamaForCausalLM"]}, "score.weight"),
    "twice": ({"id2label": {"0": "a", "1": "a", "2": "b"}}, "expected 3 different names"),
    "too few": ({"id2label": {"0": "a", "1": "b"}}, "expected 3 different names"),
    "numbers": ({"id2label": {"0": 0, "1": 1, "2": 2}}, "expected 3 different names"),
    "a list": ({"id2label": ["a", "b", "c"]}, "expected 3 different names"),
    "no head": ({"rows": None}, "no matrix score.weight"),
    "a bias": ({"bias": True}, "score.bias"),
    "another width": ({"width": 7}, r"score.weight is \(3, 7\)"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_classifier_of_ours_is_refused_by_its_name(case: str, tmp_path: Path) -> None:
    changes, says = WRONG[case]
    saved("llama", tmp_path)
    changed = {**changes}
    tensors = load_file(tmp_path / "model.safetensors")
    rows, width = changed.pop("rows", 3), changed.pop("width", 32)
    score = tensors.pop("score.weight")
    if rows is not None:
        tensors["score.weight"] = score[:rows, :width].contiguous()
    if changed.pop("bias", False):
        tensors["score.bias"] = torch.zeros(3)
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | changed))
    with pytest.raises(RunError, match=says):
        read_hf(tmp_path)


def test_what_reads_texts_otherwise_is_told_or_refused(tmp_path: Path) -> None:
    saved("llama", tmp_path)
    document = json.loads(small_bpe().to_json())
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    notices = read_hf(tmp_path).notices
    assert any("its padding (id 11) is" in notice for notice in notices)
    values = json.loads((tmp_path / "config.json").read_text())
    del values["id2label"]
    (tmp_path / "config.json").write_text(json.dumps(values | {"pad_token_id": 699}))
    (notice,) = read_hf(tmp_path).notices
    assert "names no labels: they are LABEL_0 to LABEL_2" in notice
    end: dict[str, Any] = {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}
    text: dict[str, Any] = {"Sequence": {"id": "A", "type_id": 0}}
    name = "<|endoftext|>"
    document["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [text, end],
        "pair": [text, end],
        "special_tokens": {name: {"id": name, "ids": [699], "tokens": [name]}},
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(RunError, match=r"ends every text with <\|endoftext\|>"):
        read_hf(tmp_path)
