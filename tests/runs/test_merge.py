"""A run with adapters made whole: the same model, which needs no other folder."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from groundup import load
from groundup.base.errors import UsageError
from groundup.runs import RunFolder
from groundup.runs import merge as merging
from groundup.runs.checkpoint import newest_intact
from groundup.runs.manifest import SourceTable
from groundup.runs.merge import merge_run
from groundup.train import train_run
from tests.train.test_adapters import beside
from tests.train.test_from import go_on, learnt
from tests.train.test_run import quiet


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    base = learnt(tmp_path).folder
    base.write(dataclasses.replace(base.read(), source=SourceTable(name="a/b", licence="mit")))
    base.write_chat_settings("a template", {"stop_tokens": [3]})
    return train_run(beside(tmp_path, base.path, steps=5), quiet()).folder


def test_it_is_the_same_model_without_its_base(run: RunFolder) -> None:
    logits = load(run.path).model(torch.arange(16)[None])
    done = merge_run(run.path, run.path.parent / "merged")
    shutil.rmtree(run.path.parent / "base")
    merged = load(done.path)
    assert torch.equal(merged.model(torch.arange(16)[None]), logits)
    assert (merged.chat_template, merged.generation["stop_tokens"]) == ("a template", [3])
    assert done.size_bytes > 4 * sum(p.numel() for p in merged.model.parameters())
    manifest = merged.manifest
    assert (manifest.base, manifest.job, manifest.adapter) == (None, None, None)
    checkpoint, _ = newest_intact(run.checkpoints)
    assert checkpoint is not None
    assert manifest.saved is not None
    assert manifest.saved.as_table() == {
        "by": "groundup merge",
        "from": {
            "name": "a/b",
            "licence": "mit",
            "run": str(run.path),
            "weights": checkpoint.fingerprint(),
        },
    }
    assert load(done.path).manifest.data.val_tokens == run.read().data.val_tokens


def test_a_run_that_is_whole_and_a_name_that_is_taken_are_refused(run: RunFolder) -> None:
    base = run.path.parent / "base"
    with pytest.raises(UsageError, match="base holds all of its weights already"):
        merge_run(base, run.path.parent / "merged")
    with pytest.raises(UsageError, match="is there already"):
        merge_run(run.path, base)


def test_what_fails_half_way_leaves_nothing(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(merging, "_settings", fail)
    before = set(run.path.parent.iterdir())
    with pytest.raises(KeyboardInterrupt):
        merge_run(run.path, run.path.parent / "merged")
    assert set(run.path.parent.iterdir()) == before


def test_training_goes_on_from_it(tmp_path: Path, run: RunFolder) -> None:
    done = merge_run(run.path, run.path.parent / "merged")
    origin = train_run(go_on(tmp_path, done.path, steps=1), quiet()).folder.read().origin
    assert origin is not None
    assert (origin.name, origin.licence, origin.run) == ("a/b", "mit", str(done.path))
