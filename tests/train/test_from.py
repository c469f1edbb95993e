"""Training on from a model that is there already."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from groundup.base.errors import RunError, UsageError
from groundup.data import prepare
from groundup.evaluate import evaluate_loss
from groundup.runs import read_lines
from groundup.runs.checkpoint import newest_intact
from groundup.runs.load import LoadedRun, load
from groundup.runs.manifest import SourceTable
from groundup.train import TrainRequest, TrainRun, train_run
from tests.train.test_run import StopAt, assert_same_bits, quiet, request


def learnt(folder: Path, preset: str = "pico", **changes: Any) -> TrainRun:
    asked = dataclasses.replace(request(folder, preset=preset), run="base", **changes)
    return train_run(asked, quiet())


def go_on(folder: Path, base: Path, **changes: Any) -> TrainRequest:
    model: dict[str, Any] = {
        k: changes.pop(k) for k in ("context_length", "n_layers") if k in changes
    }
    asked = request(folder, **changes)
    return dataclasses.replace(asked, base=base, model_changes=model)


def first_loss(outcome: TrainRun) -> float:
    rows = [row for row in read_lines(outcome.folder.metrics) if row["step"] == 0]
    return float(rows[0]["val_loss"])


def test_it_begins_with_the_loss_of_the_base_and_goes_on_down(tmp_path: Path) -> None:
    base = learnt(tmp_path)
    outcome = train_run(go_on(tmp_path, base.folder.path, steps=30), quiet())
    assert outcome.folder.path.name == "story-base"
    loaded = load(base.folder.path)
    tables = outcome.folder.read().as_table()
    assert tables["request"]["from"]["run"] == str(base.folder.path)
    assert tables["data"]["tokenizer_fingerprint"] == loaded.tokenizer.fingerprint
    assert first_loss(outcome) == pytest.approx(evaluated(loaded, tables), abs=1e-6)
    assert outcome.progress.val_loss is not None
    assert outcome.progress.val_loss < first_loss(outcome)


def evaluated(loaded: LoadedRun, tables: dict[str, Any]) -> float:
    data = prepare(
        tables["data"]["sources"],
        str(Path(tables["data"]["folder"]) / "tokenizer.json"),
        loaded.model.config.vocab_size,
        Path(tables["data"]["folder"]).parent,
    )
    return evaluate_loss(loaded.model, data.tokens("val"), max_tokens=256).loss


def test_a_resumed_one_equals_an_uninterrupted_one_even_without_its_base(tmp_path: Path) -> None:
    base = learnt(tmp_path).folder.path
    whole = train_run(go_on(tmp_path, base), quiet())
    kept = whole.folder.path.rename(tmp_path / "whole")
    asked = go_on(tmp_path, base)
    assert train_run(asked, StopAt(9)).signal is not None
    shutil.move(base, tmp_path / "elsewhere")
    resumed = train_run(asked, quiet())
    assert_same_bits(dataclasses.replace(whole, folder=type(whole.folder)(kept)), resumed)


def test_a_base_that_was_never_there_is_no_way_to_go_on(tmp_path: Path) -> None:
    base = learnt(tmp_path).folder.path
    train_run(go_on(tmp_path, base), quiet())
    asked = dataclasses.replace(go_on(tmp_path, tmp_path / "typo" / "base"), run="story-base")
    with pytest.raises(RunError, match=r"typo/base is not a run folder"):
        train_run(asked, quiet())


def test_it_keeps_the_name_and_the_licence_of_what_it_stems_from(tmp_path: Path) -> None:
    base = learnt(tmp_path).folder
    source = SourceTable(format="hf", name="a/b", licence="mit")
    base.write(dataclasses.replace(base.read(), source=source))
    first = train_run(go_on(tmp_path, base.path, steps=1), quiet()).folder
    second = train_run(go_on(tmp_path, first.path, steps=1), quiet()).folder
    for folder in (first, second):
        stated = folder.read().as_table()["request"]["from"]
        assert (stated["name"], stated["licence"]) == ("a/b", "mit")


def test_another_base_of_the_same_name_is_another_run(tmp_path: Path) -> None:
    base = learnt(tmp_path).folder.path
    train_run(go_on(tmp_path, base), quiet())
    train_run(dataclasses.replace(request(tmp_path), run="base", extend=30), quiet())
    with pytest.raises(UsageError, match="weights was"):
        train_run(go_on(tmp_path, base), quiet())


def test_the_same_base_by_another_path_is_the_same_run(tmp_path: Path) -> None:
    base = learnt(tmp_path).folder.path
    train_run(go_on(tmp_path, base), quiet())
    again = train_run(go_on(tmp_path, base.parent / "." / ".." / "runs" / "base"), quiet())
    assert again.was_finished


def test_the_end_of_a_text_comes_from_the_base_and_is_kept(tmp_path: Path) -> None:
    base = learnt(tmp_path, tokenizer="chars").folder
    assert load(base.path).tokenizer.end_of_text is None
    base.write_chat_settings(None, {"stop_tokens": [3]})
    first = train_run(go_on(tmp_path, base.path, steps=1), quiet()).folder
    assert load(first.path).tokenizer.end_of_text == 3
    assert first.read_generation() == {"end_of_text": 3, "stop_tokens": [3]}
    second = train_run(go_on(tmp_path, first.path, steps=1), quiet()).folder
    assert load(second.path).tokenizer.end_of_text == 3
    asked = dataclasses.replace(go_on(tmp_path, first.path, steps=1), run="third")
    asked = dataclasses.replace(asked, text_options={"end_of_text": "5"})
    third = train_run(asked, quiet()).folder
    assert load(third.path).tokenizer.end_of_text == 5
    with pytest.raises(UsageError, match="end_of_text was 5, now not set"):
        train_run(dataclasses.replace(asked, text_options={}), quiet())


def test_a_generation_file_with_an_end_that_is_no_token_is_refused(tmp_path: Path) -> None:
    base = learnt(tmp_path).folder
    base.write_chat_settings(None, {"end_of_text": "x"})
    with pytest.raises(RunError, match=r"generation\.toml: end of text 'x': expected a token id"):
        load(base.path)


def test_a_shorter_context_keeps_the_first_positions(tmp_path: Path) -> None:
    base = learnt(tmp_path, "gpt2-pico").folder.path
    outcome = train_run(go_on(tmp_path, base, context_length=8, steps=1), quiet())
    checkpoint, _ = newest_intact(outcome.folder.checkpoints)
    assert checkpoint is not None
    before = load(base).model.get_parameter("position_embedding.weight")
    after = checkpoint.model_tensors()["position_embedding.weight"]
    assert after.shape == (8, before.shape[1])
    torch.testing.assert_close(after, before[:8], atol=0.02, rtol=0)


def test_a_shape_that_cannot_change_is_refused_by_name(tmp_path: Path) -> None:
    base = learnt(tmp_path, "gpt2-pico").folder.path
    with pytest.raises(UsageError, match="n_layers = 3"):
        train_run(go_on(tmp_path, base, n_layers=3), quiet())
    with pytest.raises(UsageError, match="learned 16 positions"):
        train_run(go_on(tmp_path, base, context_length=64), quiet())


def test_the_automatic_learning_rates_are_smaller(tmp_path: Path) -> None:
    base = learnt(tmp_path).folder.path
    asked = go_on(tmp_path, base, learning_rate=None, steps=1)
    tables = train_run(asked, quiet()).folder.read().as_table()
    assert tables["train"]["learning_rate"] == pytest.approx(0.1 * 3 * 0.003)
    assert tables["train"]["muon_learning_rate"] == pytest.approx(0.1 * 0.01)
