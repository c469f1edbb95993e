"""Batches that something was wrong with, as they lie in a run; found without torch."""

from __future__ import annotations

from groundup.base.errors import RunError, UsageError
from groundup.runs import RunFolder
from groundup.runs.checkpoint import MODEL, Checkpoint, list_checkpoints

BATCH, WHY = "batch.safetensors", "why.json"


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
