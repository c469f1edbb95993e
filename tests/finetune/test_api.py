"""A classifier made in Python: what is refused, and what is left of the model that is given."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from groundup import GPT, ByteTokenizer
from groundup.base.errors import GroundupError, RunError
from groundup.finetune import TextClassifier, classify
from tests.finetune.asking import HERE
from tests.finetune.making import CONFIG


def texts(n: int = 60) -> tuple[list[str], list[str]]:
    chance = random.Random(1)
    labels = ["ab"[i % 3 == 0] for i in range(n)]
    return [label * chance.randint(3, 15) + str(i) for i, label in enumerate(labels)], labels


def made(model: GPT, **settings: Any) -> TextClassifier:
    quick = {"steps": 2, "batch_size": 4, "pooling": "last", "show": False, **HERE}
    return classify(model, ByteTokenizer(), *texts(), **{**quick, **settings})


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("layers", ["head", "last", "all"])
def test_what_did_not_learn_here_may_learn_elsewhere(layers: str) -> None:
    model = GPT(CONFIG)
    model.blocks[0].requires_grad_(False)
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    frozen = [p.clone() for p in model.blocks[0].parameters()]
    made(model, layers=layers)
    assert {name: p.requires_grad for name, p in model.named_parameters()} == before
    made(model, layers="all", learning_rate=0.1)
    for parameter, was in zip(model.blocks[0].parameters(), frozen, strict=True):
        assert torch.equal(parameter, was)


BAD: dict[str, tuple[object, object, str]] = {
    "one string of labels": (["x", "y"], "ab", "expected a list of labels, but got str"),
    "labels that come one by one": (["x", "y"], iter("ab"), "expected a list of labels"),
    "an array of texts": (np.array(["x", "y"]), ["a", "b"], "a list of texts, but got ndarray"),
    "numbers as labels": (["x", "y"], [0, 1], r"write \[str\(label\) for label in labels\]"),
    "fewer labels": (["x", "y"], ["a"], "2 texts and 1 labels"),
    "one class": (["x", "y"], ["a", "a"], "needs two different ones"),
    "one example of a class": (["x", "y", "z"], ["a", "b", "a"], "too few examples"),
    "an empty text": (["x", " "], ["a", "b"], "text 2: expected a text"),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_cannot_be_learnt_from_is_refused_in_one_line(bad: str) -> None:
    given, labels, says = BAD[bad]
    with pytest.raises(GroundupError, match=says) as error:
        classify(GPT(CONFIG), ByteTokenizer(), given, labels, **HERE)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_scores_that_are_no_numbers_decide_nothing() -> None:
    classifier = made(GPT(CONFIG))
    classifier.model.head.weight.data[1, 3] = torch.nan
    with pytest.raises(RunError, match="no finite numbers"):
        classifier.predict(["aaa"])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_labels_of_numpy_are_strings() -> None:
    given, labels = texts()
    quick = {"steps": 1, "batch_size": 4, "pooling": "last", "show": False, **HERE}
    found = classify(GPT(CONFIG), ByteTokenizer(), given, np.array(labels), **quick)  # type: ignore[arg-type]
    assert found.labels == ("a", "b")
    assert type(found.predict(["aaa"])[0].label) is str


def test_labels_written_differently_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    given, labels = texts()
    labels[::4] = [label.upper() for label in labels[::4]]
    model = GPT(CONFIG)
    classify(model, ByteTokenizer(), given, labels, layers="head", steps=1, pooling="last", **HERE)
    told = " ".join(capsys.readouterr().out.split())
    assert "differ only in how they are written, and are different classes" in told
