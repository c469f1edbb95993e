"""Simple classifiers beside ours: right by construction, the same each time, told when missing."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from groundup.evaluate.classification import Classification
from groundup.finetune.classifier.baselines import baselines, majority, tf_idf

LABELS = ("fruit", "tool", "unseen")
WORDS = {"fruit": ["apple", "pear", "plum", "fig"], "tool": ["saw", "nail", "axe", "drill"]}


@dataclass(frozen=True)
class Example:
    text: str
    label: str


def examples(n: int, seed: int) -> list[Example]:
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        label = "tool" if i % 3 == 0 else "fruit"
        words = [*rng.choice(WORDS[label], 3), *rng.choice(["the", "a", "of", "red"], 4)]
        found.append(Example(" ".join(rng.permutation(words)), label))
    return found


SPLITS = {"train": examples(90, 1), "val": examples(30, 2), "test": examples(30, 3)}


def ours() -> Classification:
    """A classifier that is always wrong."""
    truth = np.array([LABELS.index(one.label) for one in SPLITS["test"]])
    return Classification(LABELS, truth, np.eye(3)[2 - truth])


def test_the_majority_has_the_shares_of_training() -> None:
    rows = majority(np.array([1, 1, 0, 1]), 3, 5)
    np.testing.assert_allclose(rows, [[0.25, 0.75, 0.0]] * 5)


def test_each_baseline_is_judged_on_the_same_split() -> None:
    found = baselines(SPLITS, LABELS, ours())
    most, counted = found["majority"], found["tf_idf"]
    assert most.figures is not None
    assert counted.figures is not None
    assert counted.mcnemar is not None
    assert most.settings == "always 'fruit'"
    assert most.figures.accuracy == pytest.approx(2 / 3)
    assert most.figures.log_loss == pytest.approx(-(2 * math.log(2 / 3) + math.log(1 / 3)) / 3)
    assert counted.figures.accuracy == 1.0
    assert counted.mcnemar.only_b > counted.mcnemar.only_a
    assert "chosen on the validation split" in counted.settings
    assert baselines(SPLITS, LABELS, ours()) == found


def test_a_label_that_no_training_text_has_gets_no_probability() -> None:
    texts = {name: [one.text for one in split] for name, split in SPLITS.items()}
    truth = {n: np.array([LABELS.index(e.label) for e in s]) for n, s in SPLITS.items()}
    rows, _ = tf_idf(texts, truth, 3)
    assert rows.shape == (30, 3)
    assert (rows[:, 2] == 0).all()
    np.testing.assert_allclose(rows.sum(axis=1), 1)


def test_without_scikit_learn_the_rest_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    found = baselines(SPLITS, LABELS, ours())
    assert found["majority"].figures is not None
    assert found["tf_idf"].figures is None
    assert "pip install 'groundup[baselines]'" in found["tf_idf"].missing


def test_texts_without_words_are_told() -> None:
    silent = {name: [Example("?!", e.label) for e in split] for name, split in SPLITS.items()}
    assert "no words" in baselines(silent, LABELS, ours())["tf_idf"].missing
