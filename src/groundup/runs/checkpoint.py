"""Checkpoints: a folder a step, complete or absent, checked before any tensor of it is used.

    checkpoints/step-00001000/
      model.safetensors      the parameters, under the names of `groundup.model`
      trainer.safetensors    whatever the trainer needs to go on; opaque here; imports have none
      state.json             numbers: step, tokens, seconds, validation losses
      manifest.json          size and SHA-256 of the others and of itself, written last

The folder is filled under a temporary name, flushed to the device and renamed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.base.errors import GroundupError, RunError, quoted, shown
from groundup.base.file_names import WEIGHTS
from groundup.base.files import (
    UNFINISHED,
    file_error,
    file_sha256,
    make_folder,
    read_json,
    sync_folder,
    write_json,
)
from groundup.base.flock import SharedLock, free_of_readers
from groundup.base.regular import read_bytes

if TYPE_CHECKING:  # looking for a checkpoint needs no torch, only its tensors do
    from torch import Tensor

MODEL, TRAINER = WEIGHTS, "trainer.safetensors"
STATE, MANIFEST = "state.json", "manifest.json"
STEP = "step-"
"""What the name of a checkpoint's folder begins with; its step follows, in eight digits."""
REPLACED = ".replaced-"
FORMAT = 1
"""Version of a checkpoint's layout; a newer one is passed over rather than misread."""
SEAL = "sha256"
"""Where a manifest has the digest of all else in it."""


@dataclass(frozen=True)
class Checkpoint:
    """A saved moment of a run."""

    path: Path
    lock: SharedLock | None = field(default=None, repr=False, compare=False)
    """Of one that is being read: no trainer removes it while this object is there."""

    @classmethod
    def at(cls, folder: Path, step: int) -> Checkpoint:
        """Return the checkpoint of `step` in `folder`, there or not."""
        return cls(folder / f"{STEP}{step:08d}")

    def held(self) -> Checkpoint | None:
        """Return the same, which no trainer removes as long as it is there; None if it is gone."""
        try:
            lock = SharedLock(self.path)
        except (FileNotFoundError, BlockingIOError):
            return None
        except OSError:  # a folder that cannot be opened, as on Windows
            lock = None
        checkpoint = replace(self, lock=lock)
        return checkpoint if checkpoint.is_there() else None

    def is_there(self) -> bool:
        """Tell whether it has not been removed, or replaced by another of the same step."""
        return self.lock.is_of(self.path) if self.lock else self.path.is_dir()

    @property
    def step(self) -> int:
        """Optimizer steps taken when it was saved."""
        return int(self.path.name.removeprefix(STEP))

    def state(self) -> dict[str, Any]:
        """Return the numbers saved beside the tensors."""
        state: dict[str, Any] = read_json(self.path / STATE)
        if not isinstance(state, dict):
            raise RunError(f"{self.path / STATE}: expected a JSON object; restore the file")
        return state

    def model_tensors(self) -> dict[str, Tensor]:
        """Return the parameters by name, memory-mapped."""
        from groundup.runs.tensor_file import map_safetensors

        return map_safetensors(self.path / MODEL)

    def trainer_tensors(self) -> dict[str, Tensor]:
        """Return the trainer's tensors by name, memory-mapped."""
        from groundup.runs.tensor_file import map_safetensors

        return map_safetensors(self.path / TRAINER)

    def fingerprint(self) -> str:
        """Return the SHA-256 of the parameters' file, by the manifest."""
        digest: str = read_json(self.path / MANIFEST)["files"][MODEL]["sha256"]
        return digest

    def damage(self, names: Sequence[str] = (MODEL, TRAINER, STATE)) -> str | None:
        """Return what is wrong with the named files, or None when each is as it was written."""
        try:
            manifest = read_json(self.path / MANIFEST)
            if not _is_sealed(self.path, manifest):
                return f"{self.path / MANIFEST} does not have the bytes that were written"
            files, version = manifest["files"], manifest.get("format", FORMAT)
            if version != FORMAT:
                return (
                    f"{self.path} has format {quoted(version)}, this groundup reads format {FORMAT}"
                )
            for name in names:
                file, expected = self.path / name, files[name]
                if not file.is_file():
                    return f"{file} is missing"
                if file.stat().st_size != expected["size"]:
                    return f"{file} has {file.stat().st_size} bytes, not {shown(expected['size'])}"
                if file_sha256(file) != expected["sha256"]:
                    return f"{file} does not have the bytes that were written"
        except GroundupError as error:
            return str(error)
        except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
            return f"{self.path / MANIFEST} cannot be read ({shown(str(error), 200)})"
        return None


def list_checkpoints(folder: Path) -> list[Checkpoint]:
    """Return the checkpoints in `folder`, oldest first."""
    found = [p for p in folder.glob(f"{STEP}*") if _is_step(p.name.removeprefix(STEP))]
    return sorted((Checkpoint(path) for path in found), key=lambda c: c.step)


def _is_step(name: str) -> bool:
    return name.isascii() and name.isdigit()


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
    model: Mapping[str, Tensor],
    trainer: Mapping[str, Tensor],
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
    final = Checkpoint.at(folder, step).path
    replaced = folder / f"{REPLACED}{final.name}"
    temporary = folder / f"{UNFINISHED}{final.name}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        manifest = {}
        for name, write in files.items():
            path = temporary / name
            write(path)
            manifest[name] = {"size": path.stat().st_size, "sha256": file_sha256(path)}
        write_json(temporary / MANIFEST, sealed(step, manifest))
        if final.exists():  # saved by request within this step, or damaged
            shutil.rmtree(replaced, ignore_errors=True)
            os.replace(final, replaced)
        os.replace(temporary, final)
        sync_folder(folder)
        shutil.rmtree(replaced, ignore_errors=True)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if replaced.exists() and not final.exists():
            os.replace(replaced, final)
        if isinstance(error, OSError):
            raise file_error(final, error) from error
        raise
    return Checkpoint(final)


def sealed(step: int, files: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's manifest of these files, with a digest of its own content."""
    content = {"format": FORMAT, "step": step, "files": files}
    return content | {SEAL: _digest(content)}


def _is_sealed(folder: Path, manifest: dict[str, Any]) -> bool:
    """Tell whether a manifest is as it was written, to the byte; the first ones had no seal."""
    if manifest.keys() == {"step", "files"}:
        return True
    content = {key: value for key, value in manifest.items() if key != SEAL}
    written = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    as_written = read_bytes(folder / MANIFEST, links=False) == written.encode()
    return as_written and manifest.get(SEAL) == _digest(content)


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write `tensors` as safetensors, flushed to the device."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

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
    """Remove what a killed process left half written; bring back what it was about to replace."""
    for path in folder.glob(f"{REPLACED}*"):
        final = folder / path.name.removeprefix(REPLACED)
        if not final.exists():
            os.replace(path, final)
    for path in [*folder.glob(f"{UNFINISHED}*"), *folder.glob(f"{REPLACED}*")]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def prune(folder: Path, keep: int, every: int | None = None) -> None:
    """Keep the `keep` latest checkpoints, the best and those of every so many steps.

    To be called when the latest has just been written: it is good, whatever happened to others.
    """
    checkpoints = list_checkpoints(folder)
    protected = {c.path for c in checkpoints[-keep:]}
    if every:
        protected |= {c.path for c in checkpoints if c.step % every == 0}
    if best := best_checkpoint(checkpoints):
        protected.add(best.path)
    for checkpoint in checkpoints:
        if checkpoint.path not in protected:
            discard(checkpoint.path)


def discard(path: Path) -> None:
    """Remove a checkpoint; renamed first, so that a kill in the middle leaves no half of it.

    One that somebody reads stays: it goes when the next one is written.
    """
    doomed = path.with_name(f"{UNFINISHED}{path.name}-old")
    shutil.rmtree(doomed, ignore_errors=True)
    with free_of_readers(path) as is_free:
        if is_free:
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
