"""Runs with a part that groundup does not have: only the Python code that made them has it.

Their settings and the names and shapes of their tensors can be shown, but they cannot be used.
"""

from __future__ import annotations

from pathlib import Path

from groundup.base.errors import RunError
from groundup.config import GPTConfig, Parameter, foreign_parts, part_of, part_tables
from groundup.runs.base import base_checkpoint
from groundup.runs.checkpoint import MODEL, list_checkpoints
from groundup.runs.folder import RunFolder


def check_own_parts(config: GPTConfig, run: Path) -> None:
    """Refuse a run with a part that groundup does not have: name it, and say how it is loaded."""
    if not (foreign := foreign_parts(config)):
        return
    named = " and ".join(f"{field} = {name!r}" for field, name in foreign.items())
    tables = {field: part_tables()[field][0] for field in foreign}
    added = ", ".join(
        f"{tables[field]}={{**PARTS.{tables[field]}, {name!r}: ...}}"
        for field, name in foreign.items()
    )
    raise RunError(
        f"{run} was made with {named}, which groundup does not have; in Python, load it with the "
        f"part itself: groundup.load({str(run)!r}, parts=replace(PARTS, {added}))"
    )


def stored_parameters(folder: RunFolder) -> tuple[Parameter, ...]:
    """Return the model's parameters, as the newest checkpoint that can be read has them.

    Where it holds only what was learnt, the rest is from the run's base. None where there is no
    checkpoint, or no base any more. It needs no torch.
    """
    manifest = folder.read()
    checkpoints = reversed(list_checkpoints(folder.checkpoints))
    shapes = next((found for one in checkpoints if (found := _shapes(one.path / MODEL))), {})
    if shapes and manifest.base:
        try:
            _, base = base_checkpoint(folder, manifest.base)
        except RunError:
            return ()
        shapes = _shapes(base.path / MODEL) | shapes
    extra = (manifest.job and manifest.job.tensors) or {}
    names = sorted(shapes.keys() - extra.keys())
    return tuple(Parameter(name, shapes[name], part_of(name)) for name in names)


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the tensors in a file; none where it cannot be read."""
    from safetensors import SafetensorError, safe_open  # seldom needed, and often waited for

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.offset_keys()}
    except (OSError, SafetensorError):
        return {}
