"""The checkpoint that is chosen stays until it was read."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch

from groundup.base.errors import RunError
from groundup.runs import RunFolder
from groundup.runs.checkpoint import Checkpoint, list_checkpoints, prune, save_checkpoint
from groundup.runs.choose import candidates, choose_checkpoint


def folder_with(tmp_path: Path, *steps: int) -> RunFolder:
    folder = RunFolder(tmp_path)
    for step in steps:
        state = {"val_loss": float(step)}
        save_checkpoint(folder.checkpoints, step, {"a": torch.zeros(3)}, {}, state)
    return folder


def steps(folder: RunFolder) -> list[int]:
    return [one.step for one in list_checkpoints(folder.checkpoints)]


def test_what_is_read_is_removed_when_it_is_no_more(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, 1, 2, 3)
    chosen, _ = choose_checkpoint(folder, "2")
    prune(folder.checkpoints, 1)
    assert steps(folder) == [1, 2, 3]  # step 1 is the best
    assert chosen.damage(["model.safetensors"]) is None
    del chosen
    gc.collect()
    prune(folder.checkpoints, 1)
    assert steps(folder) == [1, 3]


def test_what_is_removed_between_two_looks_is_not_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, genuine = folder_with(tmp_path, 1, 2), Checkpoint.held
    left = [2, 1]

    def removed_first(checkpoint: Checkpoint) -> Checkpoint | None:
        if left:
            prune(folder_with(tmp_path, left.pop() + 10).checkpoints, 1)
        return genuine(checkpoint)

    monkeypatch.setattr(Checkpoint, "held", removed_first)
    chosen, notices = choose_checkpoint(folder, "latest")
    assert (chosen.step, notices) == (12, [])


def test_an_end_is_put_to_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Checkpoint, "held", lambda checkpoint: None)
    with pytest.raises(RunError, match="removed faster than they can be read; keep more"):
        choose_checkpoint(folder_with(tmp_path, 1), "latest")


def test_a_listing_that_misses_what_is_renamed_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_with(tmp_path, 1)
    listings = iter([[], [], list_checkpoints(folder.checkpoints)])
    monkeypatch.setattr("groundup.runs.choose.list_checkpoints", lambda folder: next(listings))
    assert [one.step for one in candidates(folder, "latest")] == [1]
