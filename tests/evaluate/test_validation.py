"""The text that a run kept aside is found by its record; a model that was saved has none."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from groundup import load, save
from groundup.base.errors import DataError
from groundup.data import open_tokens, prepare
from groundup.evaluate import Candidate, evaluate_task, sit, validation_split
from groundup.runs.own import sealed
from tests.evaluate.plain import BYTES
from tests.model.helpers import FAMILIES, random_gpt
from tests.texts import sentences


def test_the_validation_text_is_the_one_that_the_run_names(tmp_path: Path) -> None:
    save(random_gpt(**FAMILIES["llama"] | {"vocab_size": 257}), BYTES, tmp_path / "run")
    run = load(tmp_path / "run")
    assert validation_split(run) is None
    (tmp_path / "story.txt").write_text(sentences(200))
    folder = prepare([str(tmp_path / "story.txt")], "bytes", 0, tmp_path / "data").folder
    data = replace(run.manifest.data, folder=str(folder))
    validated = replace(run, manifest=sealed(replace(run.manifest, data=data)))
    split = validation_split(validated)
    assert split is not None
    expected = open_tokens(folder, "val")
    assert split.n_tokens == expected.n_tokens > 0
    assert (split.read(0, split.n_tokens) == expected.read(0, split.n_tokens)).all()
    (shard,) = folder.glob("val-*.bin")
    shard.write_bytes(bytes(len(shard.read_bytes())))
    with pytest.raises(DataError, match="SHA-256"):
        validation_split(validated)
    shutil.rmtree(folder)
    with pytest.raises(DataError, match="make it anew with 'groundup resume RUN'"):
        validation_split(validated)


def test_a_run_is_evaluated_with_its_start_token(tmp_path: Path) -> None:
    save(random_gpt(**FAMILIES["llama"] | {"vocab_size": 257}), BYTES, tmp_path / "run")
    run = load(tmp_path / "run")
    assert [*Candidate.from_run(run).start] == []
    (tmp_path / "run" / "generation.toml").write_text("start_token = 65\n")
    started = Candidate.from_run(load(tmp_path / "run"))
    assert ([*started.start], started.opening) == ([65], [65])


def test_the_former_name_is_the_same_function() -> None:
    assert sit is evaluate_task
