"""Runs that hold only what they learnt; the rest is in a checkpoint of another run, their base."""

from __future__ import annotations

from pathlib import Path

from groundup.base.errors import RunError, UsageError, shown
from groundup.base.files import new_path
from groundup.runs.checkpoint import MODEL, Checkpoint
from groundup.runs.choose import choose_checkpoint
from groundup.runs.classifier import CLASSIFIER, asks_it, is_classifier
from groundup.runs.folder import RunFolder
from groundup.runs.manifest import BaseTable, Manifest
from groundup.runs.own import check_named, may_read


def base_table(run: Path, checkpoint: str = "best") -> BaseTable:
    """Return what run.toml says of a run that another is to learn on top of."""
    table, _ = choose_base(run, checkpoint)
    return table


def choose_base(run: Path, checkpoint: str = "best") -> tuple[BaseTable, Checkpoint]:
    """Return what `base_table` does, and the checkpoint that it names.

    No trainer removes this as long as what is returned is there.
    """
    folder = RunFolder(run)
    manifest = folder.read()
    check_plain(folder, manifest)
    if made := manifest.quantization:
        raise UsageError(
            f"{run} holds weights in {made.bits} bits, on top of which nothing is learnt; take "
            f"{made.run}, which it was made from"
        )
    chosen, _ = choose_checkpoint(folder, checkpoint)
    return BaseTable(run=str(run), step=chosen.step, sha256=chosen.fingerprint()), chosen


def base_of(
    own: RunFolder, run: Path, checkpoint: str = "best"
) -> tuple[BaseTable, Checkpoint | None]:
    """Return what run.toml of the run in `own` says, or will say, of its base `run`.

    A run that is under way keeps the checkpoint that it began with, whatever its base has learnt
    since; that of a new one no trainer removes as long as what is returned is there.
    `groundup.runs.load.load_base` opens it.
    """
    recorded = own.read().base if own.exists() else None
    if recorded and recorded.run and Path(recorded.run).resolve() == run.resolve():
        return recorded, None
    return choose_base(run, checkpoint)


def base_checkpoint(
    folder: RunFolder, base: BaseTable, named: bool = False
) -> tuple[RunFolder, Checkpoint]:
    """Return the base of the run in `folder`, where its path says or else beside the run.

    Where that is elsewhere in a run of others, it is looked for beside the run alone, unless the
    user has `named` it. Raises `RunError` where it is gone, damaged, or has other weights than
    those learnt upon; `PathsElsewhere` where it may only be elsewhere.
    """
    path, step = Path(base.run or ""), base.step or 0
    needs = f"{folder.path} holds only what it learnt on top of step {step} of {path}"
    is_free = named or not folder.exists() or may_read(manifest := folder.read(), str(path))
    beside = RunFolder(folder.path.parent / path.name)
    for there in (RunFolder(path), beside) if is_free else (beside,):
        found = Checkpoint.at(there.checkpoints, step).held() if there.exists() else None
        if found is None:
            continue
        if damage := found.damage((MODEL,)):
            raise RunError(f"{needs}, and {damage}; restore it")
        if found.fingerprint() != base.sha256:
            raise RunError(f"{needs}, and {found.path} has other weights by now; restore it")
        return there, found
    if not is_free:
        remedy = f", or bring it beside {folder.path}"
        check_named(folder, manifest, {str(path): "its base"}, remedy)
    raise RunError(f"{needs}, which is gone; bring it back, there or beside {folder.path}")


def check_mergeable(folder: RunFolder, out: Path) -> Manifest:
    """Return run.toml of a run that may be put together with its base, in the new folder `out`."""
    new_path(out)
    manifest = folder.read()
    if manifest.kind != CLASSIFIER:
        check_plain(folder, manifest)
    if manifest.base is None:
        raise UsageError(
            f"{folder.path} holds all of its weights already: there is nothing to merge; every "
            "verb takes it as it is"
        )
    return manifest


def check_plain(folder: RunFolder, manifest: Manifest, instead: str = "") -> None:
    """Refuse a run that holds more than a GPT, for whoever would leave that out unsaid.

    Adapters are no more: they become part of the matrices. `instead` is what to do where it is a
    classifier; by itself, to ask it.
    """
    if manifest.kind == CLASSIFIER:
        raise is_classifier(folder, manifest, instead or asks_it(folder))
    if names := sorted(manifest.extra):
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        raise UsageError(
            f"{folder.path}, a training of the kind {shown(manifest.kind)}, is no GPT by itself: "
            f"it has learnt {shown(', '.join(names[:2]))}{more}, which a GPT lacks; use the "
            f"program that made it, or put it together in Python: groundup.load("
            f"{str(folder.path)!r}) has the parts in .model and .extra"
        )
