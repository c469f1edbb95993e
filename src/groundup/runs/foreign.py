"""Runs with a part that groundup does not have: only the Python code that made them has it.

Their settings and the names and shapes of their tensors can be shown, but they cannot be used.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from groundup.base.errors import RunError
from groundup.config import GPTConfig, Parameter, foreign_parts, part_of, part_tables
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
    """Return the parameters in the newest checkpoint that can be read; none where there is none.

    Only the file's header is read, without torch.
    """
    for checkpoint in reversed(list_checkpoints(folder.checkpoints)):
        try:
            with safe_open(checkpoint.path / MODEL, framework="numpy") as file:
                shapes = {
                    name: tuple(file.get_slice(name).get_shape()) for name in file.offset_keys()
                }
        except (OSError, SafetensorError):
            continue
        return tuple(Parameter(name, shapes[name], part_of(name)) for name in sorted(shapes))
    return ()
