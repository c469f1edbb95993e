"""Classifiers that were trained here, out and in again: as texts are decided about, not ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from groundup.base.errors import UsageError
from groundup.finetune import load_classifier
from groundup.runs import RunFolder
from groundup.runs.merge import merge_run
from groundup.runs.record import read_run
from groundup.weights import export_model, import_model
from tests.finetune.making import train, with_base, with_records

TEXTS = ["win a prize", "x", "see you at the place where we have met so often before"]
BYTES = 256
"""The token that begins every text of the runs here."""


LLAMA: dict[str, Any] = {
    "norm": "rmsnorm", "position": "rope", "feed_forward": "swiglu", "bias": False,
    "qkv_bias": False, "tie_embeddings": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = with_records(with_base(tmp_path_factory.mktemp("runs"), **LLAMA))
    RunFolder(folder / "base").write_chat_settings(None, {"start_token": BYTES})
    return folder


def made(folder: Path, name: str, **how: Any) -> Path:
    """Return a classifier in `folder`, trained by the first test that asks."""
    if not (folder / name).exists():
        train(folder / name, **{"steps": 5, "pooling": "last", **how})
    return folder / name


HOW: dict[str, dict[str, Any]] = {
    "all": {"max_length": 17},
    "head": {"layers": "head"},
    "lora": {"method": "lora", "lora_rank": 2, "learning_rate": 0.1},
}


@pytest.mark.parametrize("how", HOW)
def test_texts_are_decided_alike_there_here_and_back_again(
    how: str, folder: Path, tmp_path: Path
) -> None:
    run = made(folder, how, **HOW[how])
    ours = load_classifier(run)
    expected = np.array([[*p.probabilities.values()] for p in ours.predict(TEXTS)])
    out = export_model(run, tmp_path / "hf")
    assert out.difference is not None
    tokenizer = AutoTokenizer.from_pretrained(out.path)
    model = AutoModelForSequenceClassification.from_pretrained(out.path).eval()
    assert type(model).__name__ == "LlamaForSequenceClassification"
    assert tokenizer.model_max_length == ours.max_length == HOW[how].get("max_length", 24)
    rows = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    assert rows["input_ids"][0, :12].tolist() == [BYTES, *TEXTS[0].encode()]
    assert rows["input_ids"].shape == (3, ours.max_length)
    theirs = model(**rows).logits.softmax(-1).detach().numpy()
    np.testing.assert_allclose(theirs, expected, atol=1e-5)
    asked = pipeline("text-classification", model=str(out.path), truncation=True)(TEXTS)
    assert [row["label"] for row in asked] == [p.label for p in ours.predict(TEXTS)]
    back = import_model(out.path, tmp_path / "back")
    assert back.difference == 0
    assert back.parameters == out.parameters
    again = load_classifier(back.path)
    assert (again.labels, again.max_length) == (ours.labels, ours.max_length)
    assert again.start == BYTES
    found = np.array([[*p.probabilities.values()] for p in again.predict(TEXTS)])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert read_run(back.path).state == "imported"
    second = export_model(back.path, tmp_path / "second")
    assert json.loads((second.path / "config.json").read_text()) == json.loads(
        (out.path / "config.json").read_text()
    )


def test_the_card_says_what_it_decides_and_how_well(folder: Path, tmp_path: Path) -> None:
    run = made(folder, "all", **HOW["all"])
    export_model(run, tmp_path / "hf", verify=False)
    card = (tmp_path / "hf" / "README.md").read_text()
    record = json.loads((run / "classification.json").read_text())
    assert "pipeline_tag: text-classification" in card
    assert "decides about texts: a, b." in card
    assert f"Test accuracy: {record['test']['accuracy']:.4f}" in card
    assert "TF-IDF" in card
    assert "AutoModelForSequenceClassification" in card
    for wrong in ("AutoModelForCausalLM", "None", "0 bytes", "nats a token", "Tokens a step"):
        assert wrong not in card


@pytest.mark.parametrize("dtype", ["bf16", "f16"])
def test_narrow_numbers(folder: Path, tmp_path: Path, dtype: str) -> None:
    run = made(folder, "all", **HOW["all"])
    out = export_model(run, tmp_path / "hf", dtype=dtype)
    model = AutoModelForSequenceClassification.from_pretrained(out.path)
    wanted = {"bf16": torch.bfloat16, "f16": torch.float16}[dtype]
    assert {parameter.dtype for parameter in model.parameters()} == {wanted}


def test_a_classifier_that_is_merged_stays_one(folder: Path, tmp_path: Path) -> None:
    run = made(folder, "lora", **HOW["lora"])
    done = merge_run(run, tmp_path / "whole")
    manifest = RunFolder(done.path).read()
    assert manifest.base is None
    assert manifest.adapter is None
    expected, found = (load_classifier(path).predict(TEXTS) for path in (run, done.path))
    for one, other in zip(expected, found, strict=True):
        assert one.label == other.label
        assert other.probabilities == pytest.approx(one.probabilities, abs=1e-6)


def test_what_the_test_showed_goes_along_with_the_weights_that_it_was_of(
    folder: Path, tmp_path: Path
) -> None:
    run = made(folder, "lora", **HOW["lora"])
    whole = merge_run(run, tmp_path / "whole").path
    cards = []
    for name, path in (("apart", run), ("merged", whole)):
        export_model(path, tmp_path / name, verify=False)
        text = (tmp_path / name / "README.md").read_text()
        cards.append(
            [line for line in text.splitlines() if line.startswith(("- Test", "- Beside"))]
        )
    before = [line.replace(", before it was merged with its base", "") for line in cards[1]]
    assert before == cards[0] != cards[1]
    assert len(before) > 3
    told = json.loads((whole / "classification.json").read_text())["chosen_by"]
    assert told.endswith(f"tested as {run}, before it was merged")
    record = json.loads((run / "classification.json").read_text())
    (run / "classification.json").write_text(json.dumps(record | {"step": record["step"] + 1}))
    other = merge_run(run, tmp_path / "other").path
    assert not (other / "classification.json").exists()
    (run / "classification.json").write_text(json.dumps(record))


def test_what_transformers_would_decide_otherwise_stays_here(folder: Path, tmp_path: Path) -> None:
    run = made(folder, "mean", pooling="mean", layers="head")
    with pytest.raises(UsageError, match=r"mean over a text's tokens.*--pooling last"):
        export_model(run, tmp_path / "hf")
    for form in ("gguf", "safetensors"):
        with pytest.raises(UsageError, match=f"{form} has no place for its head"):
            export_model(run, tmp_path / "out", form)
    assert not [*tmp_path.iterdir()]
