"""Checkpoints are complete or absent, and damage is found before a tensor is used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from groundup.base.errors import GroundupError
from groundup.runs.checkpoint import (
    best_checkpoint,
    first_intact,
    list_checkpoints,
    newest_intact,
    prune,
    remove_unfinished,
    save_checkpoint,
)

TENSORS = {"a": torch.arange(6.0).reshape(2, 3).t(), "b": torch.tensor(7)}
FILES = ["model.safetensors", "trainer.safetensors", "state.json", "manifest.json"]


def save(folder: Path, step: int, loss: float | None = None) -> Path:
    return save_checkpoint(folder, step, TENSORS, TENSORS, {"val_loss": loss}).path


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    path = save(tmp_path, 1000, 2.5)
    assert path.name == "step-00001000"
    assert sorted(p.name for p in path.iterdir()) == sorted(FILES)
    [found] = list_checkpoints(tmp_path)
    assert found.damage() is None
    assert found.state() == {"val_loss": 2.5}
    for tensors in (found.model_tensors(), found.trainer_tensors()):
        assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_every_damage_is_found_and_named(tmp_path: Path, name: str, damage: str) -> None:
    save(tmp_path, 1)
    file = save(tmp_path, 2) / name
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    if damage == "remove":
        file.unlink()
    else:
        file.write_bytes(data if damage == "flip" else data[:-3])
    found, [line] = newest_intact(tmp_path)
    assert found is not None
    assert found.step == 1
    assert name in line


def test_only_the_files_that_are_needed_must_be_intact(tmp_path: Path) -> None:
    (save(tmp_path, 1) / "trainer.safetensors").unlink()
    found, notices = first_intact(list_checkpoints(tmp_path), ["model.safetensors"])
    assert found is not None
    assert found.step == 1
    assert not notices


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("groundup.runs.checkpoint.os.replace", refuse)
    with pytest.raises(GroundupError, match="no room to write"):
        save(tmp_path, 1)
    assert not list(tmp_path.iterdir())


def test_leftovers_of_a_kill_are_not_checkpoints_and_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".unfinished-step-00000009").mkdir()
    (tmp_path / "step-x").mkdir()
    assert newest_intact(tmp_path) == (None, [])
    remove_unfinished(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["step-x"]


def test_the_latest_and_the_best_are_kept(tmp_path: Path) -> None:
    for step, loss in enumerate([3.0, 1.0, 1.0, None, 2.0, 2.5], 1):
        save(tmp_path, step, loss)
    best = best_checkpoint(list_checkpoints(tmp_path))
    assert best is not None
    assert best.step == 3, "the later of two equals"
    prune(tmp_path, keep=2)
    assert [c.step for c in list_checkpoints(tmp_path)] == [3, 5, 6]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_step_is_written_anew(tmp_path: Path) -> None:
    save(tmp_path, 4, 2.0)
    save(tmp_path, 4, 1.0)
    [found] = list_checkpoints(tmp_path)
    assert found.state() == {"val_loss": 1.0}


def test_what_was_to_be_replaced_comes_back_after_a_kill(tmp_path: Path) -> None:
    save(tmp_path, 4, 2.0)
    (tmp_path / "step-00000004").rename(tmp_path / ".replaced-step-00000004")
    (tmp_path / ".unfinished-step-00000004").mkdir()
    remove_unfinished(tmp_path)
    [found] = list_checkpoints(tmp_path)
    assert found.state() == {"val_loss": 2.0}
    assert len(list(tmp_path.iterdir())) == 1


def test_what_was_to_be_replaced_stays_where_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 4, 2.0)
    genuine = os.replace

    def refuse(source: Path, target: Path) -> None:
        if ".unfinished" in str(source):
            raise OSError(28, "No space left on device")
        genuine(source, target)

    monkeypatch.setattr("groundup.runs.checkpoint.os.replace", refuse)
    with pytest.raises(GroundupError, match="no room to write"):
        save(tmp_path, 4, 1.0)
    [found] = list_checkpoints(tmp_path)
    assert found.state() == {"val_loss": 2.0}
    assert len(list(tmp_path.iterdir())) == 1
