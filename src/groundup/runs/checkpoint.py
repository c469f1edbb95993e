"""Checkpoints: a folder a step, complete or absent, checked before any tensor of it is used.

    checkpoints/step-00001000/
      model.safetensors      the parameters, under the names of `groundup.model`
      trainer.safetensors    whatever the trainer needs to go on; opaque here; imports have none
      state.json             numbers: step, tokens, seconds, validation losses
      manifest.json          size and SHA-256 of the others, written last

The folder is filled under a temporary name, flushed to the device and renamed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from groundup.base.errors import GroundupError, RunError
from groundup.base.files import (
    file_error,
    file_sha256,
    make_folder,
    read_json,
    sync_folder,
    write_json,
)

MODEL, TRAINER, STATE, MANIFEST = (
    "model.safetensors",
    "trainer.safetensors",
    "state.json",
    "manifest.json",
)
UNFINISHED = ".unfinished-"


@dataclass(frozen=True)
class Checkpoint:
    """A saved moment of a run."""

    path: Path

    @property
    def step(self) -> int:
        """Optimizer steps taken when it was saved."""
        return int(self.path.name.removeprefix("step-"))

    def state(self) -> dict[str, Any]:
        """Return the numbers saved beside the tensors."""
        state: dict[str, Any] = read_json(self.path / STATE)
        return state

    def model_tensors(self) -> dict[str, Tensor]:
        """Return the parameters by name, memory-mapped."""
        return _read_tensors(self.path / MODEL)

    def trainer_tensors(self) -> dict[str, Tensor]:
        """Return the trainer's tensors by name, memory-mapped."""
        return _read_tensors(self.path / TRAINER)

    def fingerprint(self) -> str:
        """Return the SHA-256 of the parameters' file, by the manifest."""
        digest: str = read_json(self.path / MANIFEST)["files"][MODEL]["sha256"]
        return digest

    def damage(self, names: Sequence[str] = (MODEL, TRAINER, STATE)) -> str | None:
        """Return what is wrong with the named files, or None when each is as it was written."""
        try:
            files = read_json(self.path / MANIFEST)["files"]
            for name in names:
                file, expected = self.path / name, files[name]
                if not file.is_file():
                    return f"{file} is missing"
                if file.stat().st_size != expected["size"]:
                    return f"{file} has {file.stat().st_size} bytes, not {expected['size']}"
                if file_sha256(file) != expected["sha256"]:
                    return f"{file} does not have the bytes that were written"
        except (GroundupError, OSError, KeyError, TypeError, AttributeError) as error:
            return f"{self.path / MANIFEST} cannot be read ({error})"
        return None


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path}: expected safetensors, but {error}; restore the file") from error


def list_checkpoints(folder: Path) -> list[Checkpoint]:
    """Return the checkpoints in `folder`, oldest first."""
    found = [p for p in folder.glob("step-*") if p.name.removeprefix("step-").isdigit()]
    return sorted((Checkpoint(path) for path in found), key=lambda c: c.step)


def first_intact(
    checkpoints: Iterable[Checkpoint], names: Sequence[str] = (MODEL, TRAINER, STATE)
) -> tuple[Checkpoint | None, list[str]]:
    """Return the first checkpoint whose named files are intact, and a line about each before it."""
    damaged: list[str] = []
    for checkpoint in checkpoints:
        damage = checkpoint.damage(names)
        if damage is None:
            return checkpoint, damaged
        damaged.append(damage)
    return None, damaged


def newest_intact(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest intact checkpoint, and a line about each newer, damaged one."""
    return first_intact(reversed(list_checkpoints(folder)))


def save_checkpoint(
    folder: Path,
    step: int,
    model: dict[str, Tensor],
    trainer: dict[str, Tensor],
    state: dict[str, Any],
) -> Checkpoint:
    """Write a checkpoint for `step` into `folder`, replacing an earlier one of the same step."""
    return save_files(
        folder,
        step,
        {
            MODEL: lambda path: write_tensors(model, path),
            TRAINER: lambda path: write_tensors(trainer, path),
            STATE: lambda path: write_json(path, state),
        },
    )


def save_files(folder: Path, step: int, files: dict[str, Callable[[Path], None]]) -> Checkpoint:
    """Write a checkpoint of the named files, each by its own function, whole or not at all."""
    make_folder(folder)
    final = folder / f"step-{step:08d}"
    temporary = folder / f"{UNFINISHED}{final.name}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        manifest = {}
        for name, write in files.items():
            path = temporary / name
            write(path)
            manifest[name] = {"size": path.stat().st_size, "sha256": file_sha256(path)}
        write_json(temporary / MANIFEST, {"step": step, "files": manifest})
        if final.exists():  # damaged, or the run would not have come to this step again
            discard(final)
        os.replace(temporary, final)
        sync_folder(folder)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise file_error(final, error) from error
        raise
    return Checkpoint(final)


def write_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write `tensors` as safetensors, flushed to the device."""
    try:
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, path)
    except SafetensorError as error:  # safetensors wraps the operating system's error in text
        raise RunError(
            f"{path}: could not be written ({error}); free some space or choose another folder, "
            "then run the same command again"
        ) from error
    with path.open("rb") as file:
        os.fsync(file.fileno())


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process left half written."""
    for path in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(path, ignore_errors=True)


def prune(folder: Path, keep: int) -> None:
    """Keep the `keep` latest checkpoints and the best; remove the others."""
    checkpoints = list_checkpoints(folder)
    protected = {c.path for c in checkpoints[-keep:]}
    if best := best_checkpoint(checkpoints):
        protected.add(best.path)
    for checkpoint in checkpoints:
        if checkpoint.path not in protected:
            discard(checkpoint.path)


def discard(path: Path) -> None:
    """Remove a checkpoint; renamed first, so that a kill in the middle leaves no half of it."""
    doomed = path.with_name(f"{UNFINISHED}{path.name}-old")
    shutil.rmtree(doomed, ignore_errors=True)
    os.replace(path, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def best_checkpoint(checkpoints: list[Checkpoint]) -> Checkpoint | None:
    """Return the checkpoint with the lowest validation loss of its own, the latest on a tie."""
    scored = []
    for checkpoint in checkpoints:
        try:
            loss = checkpoint.state().get("val_loss")
        except GroundupError:
            continue
        if isinstance(loss, float):
            scored.append((loss, -checkpoint.step, checkpoint))
    return min(scored, key=lambda s: s[:2])[2] if scored else None
