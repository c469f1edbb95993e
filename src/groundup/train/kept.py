"""Batches that something was wrong with, as they lie in a run; found without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from groundup.base.errors import RunError, UsageError
from groundup.base.files import write_json
from groundup.runs import RunFolder
from groundup.runs.checkpoint import (
    MODEL,
    Checkpoint,
    discard,
    list_checkpoints,
    save_files,
    write_tensors,
)

if TYPE_CHECKING:
    from torch import Tensor

BATCH, WHY = "batch.safetensors", "why.json"
KEPT = 3
"""Batches kept of a run, the latest ones."""


def keep_batch(
    folder: RunFolder,
    why: dict[str, Any],
    batch: Mapping[str, Tensor],
    model: Mapping[str, Tensor],
) -> None:
    """Write a batch, the weights and the reason into the run's replay folder."""
    files = {
        MODEL: lambda path: write_tensors(model, path),
        BATCH: lambda path: write_tensors(batch, path),
        WHY: lambda path: write_json(path, why),
    }
    save_files(folder.replay, why["step"], files)
    for old in list_checkpoints(folder.replay)[:-KEPT]:
        discard(old.path)


def kept_batch(folder: RunFolder, step: int | None) -> Checkpoint:
    """Return the batch kept of a step, or the latest; `UsageError` where there is none."""
    kept = list_checkpoints(folder.replay)
    if not kept:
        raise UsageError(f"{folder.path} has kept no batch: nothing was wrong with any step of it")
    chosen = [one for one in kept if step in (None, one.step)][-1:]
    if not chosen:
        steps = ", ".join(str(one.step) for one in kept)
        raise UsageError(f"--step {step}: {folder.path} has kept the batches of {steps}")
    if damage := chosen[0].damage((MODEL, BATCH, WHY)):
        raise RunError(f"{damage}; remove {chosen[0].path}")
    return chosen[0]
