"""Which checkpoint is read: the one asked for, held while a trainer removes others."""

from __future__ import annotations

import time
from pathlib import Path

from groundup.base.errors import RunError, UsageError
from groundup.runs.checkpoint import MODEL, STATE, Checkpoint, best_checkpoint, list_checkpoints
from groundup.runs.folder import RunFolder

LOOKS = 1000
"""At checkpoints that a trainer removes meanwhile."""
FEW_LOOKS, PAUSE = 5, 0.01
"""At a folder without any, and the seconds between them."""


def candidates(folder: RunFolder, which: str) -> list[Checkpoint]:
    """Return the checkpoints that "best", "latest" or a step number may mean, the newest first.

    Raises `UsageError` for another word or a step that is not there, `RunError` where none is.
    """
    is_number = which.isascii() and which.isdigit()
    if which not in ("best", "latest") and not is_number:
        raise UsageError(f"checkpoint '{which}': expected best, latest or a step number")
    found = _listed(folder.checkpoints)[::-1]
    if not found:
        raise RunError(f"{folder.path} has no checkpoint yet; let it train to its first one")
    chosen = [c for c in found if not is_number or c.step == int(which)]
    if not chosen:
        steps = ", ".join(str(c.step) for c in reversed(found))
        raise UsageError(f"{folder.path} has no checkpoint of step {which}; it has {steps}")
    return chosen


def _listed(folder: Path) -> list[Checkpoint]:
    """Return the checkpoints in `folder`, oldest first.

    While a trainer renames some, a listing may have none of them: then there is another look.
    """
    for _ in range(FEW_LOOKS):
        if found := list_checkpoints(folder):
            return found
        time.sleep(PAUSE)
    return []


def choose_checkpoint(folder: RunFolder, which: str) -> tuple[Checkpoint, list[str]]:
    """Return the checkpoint asked for, or the newest intact one with notices of what is damaged.

    No trainer removes it as long as what is returned is there. Where one is removed before that,
    another has come: all are looked at again.
    """
    for _ in range(LOOKS):
        found = candidates(folder, which)
        if which == "best":
            best = best_checkpoint(found)
            if not all(one.is_there() for one in found):  # another may be the best by now
                continue
            found = [best, *(one for one in found if one != best)] if best else found
        chosen, notices, changed = _first_held(found)
        if chosen is not None:
            return chosen, notices
        if not changed:
            raise RunError(
                f"{folder.path} has no intact checkpoint ({'; '.join(notices)}); train it again "
                "under another --run name"
            )
    raise RunError(
        f"{folder.path}: its checkpoints are removed faster than they can be read; keep more of "
        "them, as with --set keep=5, or wait for the training to end"
    )


def _first_held(found: list[Checkpoint]) -> tuple[Checkpoint | None, list[str], bool]:
    """Return the first intact one, held, and a line about each before it.

    Where one was removed meanwhile, or written again, there is none, and the last value is True.
    """
    damaged: list[str] = []
    for checkpoint in found:
        held = checkpoint.held()
        damage = held.damage((MODEL, STATE)) if held else None
        if held is None or not held.is_there():
            return None, damaged, True
        if damage is None:
            return held, damaged, False
        damaged.append(damage)
    return None, damaged, False
