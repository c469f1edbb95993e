"""What must be the same for a run to go on, what may change, and what is then no longer exact."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from groundup import __version__
from groundup.base.errors import UsageError
from groundup.config import as_table
from groundup.runs import RunFolder, flatten

Notice = Callable[[str], None]
Tables = dict[str, Any]

PACKAGES = ("torch", "numpy", "tokenizers", "tiktoken")
CHANGEABLE = (
    "checkpoint_activations", "save", "save_every", "keep", "keep_every", "timeout",
    "on_nonfinite", "on_spike", "spike_score", "max_skips",
)  # fmt: skip
"""Settings that may change: what is kept, how trouble is met, and what rounds nothing otherwise."""
PASSES = ("batch_size", "accumulation")
"""Settings of which the product counts: the sequences of a step."""
WORDING = ("command", "preset", "from.run", "from.name", "from.licence")
"""How a run was asked for may differ; of a base, its weights count."""
ARITHMETIC = ("versions.torch", "machine.cpu", "machine.instructions", "machine.gpu")
"""What rounds otherwise when it is another."""


def versions() -> dict[str, str]:
    """Return the versions that a run was trained with, for run.toml."""
    own = {"python": platform.python_version(), "groundup": __version__}
    return own | {name: version(name) for name in PACKAGES}


def compatible(folder: RunFolder, asked: Tables, extend: int | None, notice: Notice) -> Tables:
    """Return run.toml's tables if they are of this request; tell every difference if not."""
    tables = folder.read()
    if "quantization" in tables:
        raise UsageError(f"{folder.path} holds a quantised model; choose another --run name")
    if "request" not in tables:
        raise UsageError(
            f"{folder.path} holds a model that was imported or saved, not a run; choose another "
            f"--run name, and train on from it with --from {folder.path}"
        )
    # A run of an older version has the settings that came later at their defaults.
    for part in (tables, tables["request"]):
        part["train"] = as_table(folder.train_config(part))
    before, now = flatten(tables["request"]), flatten(asked)
    for key in WORDING:
        before.pop(key, None)
        now.pop(key, None)
    if extend is not None:
        _extend(folder, tables, extend)
        for key in ("train.steps", "train.minutes"):
            before.pop(key, None)
            now.pop(key, None)
    accepted = _changes(before, now, notice)
    different = [
        f"{key.partition('.')[2]} was {before.get(key, 'not set')}, now {now.get(key, 'not set')}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and key not in accepted
    ]
    if different:
        raise UsageError(
            f"{folder.path} holds a run with other settings ({'; '.join(different)}); repeat its "
            "own command to go on with it, choose another --run NAME, or lengthen it with "
            "--extend STEPS"
        )
    for key in accepted:
        name = key.partition(".")[2]
        for settings in (tables["train"], tables["request"]["train"]):
            settings.pop(name, None)
            if key in now:
                settings[name] = now[key]
    return tables


def _changes(before: Tables, now: Tables, notice: Notice) -> list[str]:
    """Return the keys whose values may be others from now on, and are."""
    allowed = [f"train.{name}" for name in CHANGEABLE]
    for key in allowed:
        if now.get(key) == "auto":
            now[key] = before[key]  # as it was decided
    passes = [f"train.{name}" for name in PASSES]
    old, new = ([side[key] for key in passes] for side in (before, now))
    if old != new and old[0] * old[1] == new[0] * new[1]:
        allowed += passes
        notice(
            f"continues, not bit-identical: batch_size times accumulation was {old[0]} x {old[1]}"
            f", now {new[0]} x {new[1]}"
        )
    return [key for key in allowed if before.get(key) != now.get(key)]


def tell_inexact(tables: Tables, current: Tables, notice: Notice) -> None:
    """Say if the rest of a run will be rounded otherwise than its beginning, and why."""
    before, now = flatten(tables), flatten(current)
    changed = [
        f"{key} was {before[key]}, now {now.get(key, 'none')}"
        for key in ARITHMETIC
        if key in before and before[key] != now.get(key)
    ]
    settings = tables["train"]
    if settings.get("device") == "cuda" and settings.get("deterministic") != "on":
        changed.append("a GPU adds in no fixed order without deterministic=on")
    if changed:
        notice(f"continues, not bit-identical: {'; '.join(changed)}")


def _extend(folder: RunFolder, tables: Tables, steps: int) -> None:
    if steps < tables["train"]["steps"]:
        raise UsageError(
            f"--extend {steps}: {folder.path} already trains to step {tables['train']['steps']}; "
            "give a larger number of steps"
        )
    for settings in (tables["train"], tables["request"]["train"]):
        settings["steps"] = steps
        settings.pop("minutes", None)
    tables.get("plan", {}).pop("expected_seconds", None)
