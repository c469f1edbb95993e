"""Runs that hold only what they learnt; the rest is in a checkpoint of another run, their base."""

from __future__ import annotations

from pathlib import Path

from groundup.base.errors import RunError, UsageError, shown
from groundup.runs.checkpoint import MODEL, Checkpoint, choose_checkpoint
from groundup.runs.folder import RunFolder
from groundup.runs.manifest import BaseTable, Manifest


def base_table(run: Path, checkpoint: str = "best") -> BaseTable:
    """Return what run.toml says of a run that another is to learn on top of."""
    folder = RunFolder(run)
    check_whole(folder, folder.read())
    chosen, _ = choose_checkpoint(folder, checkpoint)
    return BaseTable(run=str(run), step=chosen.step, sha256=chosen.fingerprint())


def base_checkpoint(folder: RunFolder, base: BaseTable) -> tuple[RunFolder, Checkpoint]:
    """Return the base of the run in `folder`, where its path says or else beside the run.

    Raises `RunError` where it is gone, damaged, or has other weights than those learnt upon.
    """
    path, step = Path(base.run or ""), base.step or 0
    needs = f"{folder.path} holds only what it learnt on top of step {step} of {path}"
    for there in (RunFolder(path), RunFolder(folder.path.parent / path.name)):
        found = Checkpoint.at(there.checkpoints, step)
        if not there.exists() or not found.path.exists():
            continue
        if damage := found.damage((MODEL,)):
            raise RunError(f"{needs}, and {damage}; restore it")
        if found.fingerprint() != base.sha256:
            raise RunError(f"{needs}, and {found.path} has other weights by now; restore it")
        return there, found
    raise RunError(f"{needs}, which is gone; bring it back, there or beside {folder.path}")


def check_whole(folder: RunFolder, manifest: Manifest) -> None:
    """Refuse a run that does not hold all of a model; in Python it can be made whole."""
    if manifest.base or (manifest.job and manifest.job.tensors):
        raise UsageError(
            f"{folder.path}, a training of the kind {shown(manifest.kind)}, is not a whole GPT by "
            "itself; make one of it in Python: "
            f"run = groundup.load({str(folder.path)!r}); groundup.save(run.model, run.tokenizer, "
            "PATH)"
        )
