"""`groundup plan` of a run that learns on, and of classifiers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Groundup


def test_a_run_that_learns_on_in_part(groundup: Groundup, trained: Path) -> None:
    def planned(*words: object) -> dict[str, Any]:
        done = groundup("plan", trained, *words, "--json")
        assert done.status == 0, done.err
        return dict(json.loads(done.out))

    whole, lora = planned(), planned("--method", "lora")
    assert whole["learning_parameters"] == whole["parameters"] == lora["parameters"]
    assert lora["learning_parameters"] < whole["parameters"]
    assert whole["texts"] is None
    width = whole["model"]["emb_dim"]
    head, last = planned("--layers", "head"), planned("--set", "layers=last")
    assert head["learning_parameters"] == 2 * width
    assert 2 * width < last["learning_parameters"] < whole["parameters"]
    run = planned("--layers", "all", "--set", "max_length=5", "--set", "batch_size=3")["run"]
    assert run["tokens_per_step"] == 15
    assert run["steps"] is None, "passes over texts that are not known yet"
    assert groundup("plan", trained.name, "--layers", "head", "--json").out


@pytest.mark.parametrize(
    ("words", "n_layers", "has_steps"),
    [((), 3, False), (("--set", "minutes=2"), 2, False), (("--set", "minutes=20"), 4, False),
     (("--set", "steps=9"), 4, True), (("--set", "n_layers=6"), 6, False), (("nano",), 4, True)],
)  # fmt: skip
def test_without_a_preset_it_is_what_train_would_take(
    groundup: Groundup, words: tuple[str, ...], n_layers: int, has_steps: bool
) -> None:
    found = json.loads(groundup("plan", *words, "--json").out)
    assert found["model"]["n_layers"] == n_layers
    assert (found["run"]["steps"] is not None) == has_steps


def test_what_cannot_be_is_one_line(groundup: Groundup, trained: Path) -> None:
    assert "sees at most" in groundup("plan", trained, "--set", "max_length=99999").error
    assert "keeps its shape" in groundup("plan", trained, "--set", "n_layers=9").error
    both = groundup("plan", trained, "--method", "lora", "--layers", "head").error
    assert "leave out one of the two" in both
    assert "expected one of" in groundup("plan", "nano", "--layers", "first").error
