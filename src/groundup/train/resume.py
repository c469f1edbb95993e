"""What must be the same for a run to go on, what may change, and what is then no longer exact."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from groundup import __version__
from groundup.base.errors import UsageError, shown
from groundup.config import as_table
from groundup.runs import RunFolder, flatten

Notice = Callable[[str], None]
Tables = dict[str, Any]
Keys = Sequence[str]
LONGEST_COMMAND = 400

PACKAGES = ("torch", "numpy", "tokenizers", "tiktoken")
CHANGEABLE = (
    "checkpoint_activations", "save", "save_every", "keep", "keep_every", "timeout",
    "on_nonfinite", "on_spike", "spike_score", "max_skips",
)  # fmt: skip
"""Settings that may change: what is kept, how trouble is met, and what rounds nothing otherwise."""
LENGTHS = ("train.steps", "train.minutes", "train.epochs")
"""How long a run is, said in one of three ways."""
PASSES = ("batch_size", "accumulation")
"""Settings of which the product counts: the sequences of a step."""
IN_PYTHON = "groundup.train.train"
"""The command of a run that `train` made in Python; its text is not kept."""
COUNTED = ("model", "train", "data.fingerprint", "from.weights")
"""What must be the same for a run to go on; the other words of a request say how it came about."""
CAUSES = {"model": ("preset", "changes"), "data": ("text",), "from": ("from.run",)}
"""What the user said that the parts of a request follow from; each setting of `train` was said."""
ARITHMETIC = ("versions.torch", "machine.cpu", "machine.instructions", "machine.gpu")
"""What rounds otherwise when it is another."""


def versions() -> dict[str, str]:
    """Return the versions that a run was trained with, for run.toml."""
    own = {"python": platform.python_version(), "groundup": __version__}
    return own | {name: version(name) for name in PACKAGES}


def trained_tables(folder: RunFolder) -> Tables:
    """Return the tables of a run that can go on; an imported or quantised one is refused."""
    manifest = folder.read()
    if manifest.quantization:
        raise UsageError(f"{folder.path} holds a quantised model; choose another --run name")
    if manifest.request is None:
        raise UsageError(
            f"{folder.path} holds a model that was imported or saved, not a run; choose another "
            f"--run name, and train on from it with --from {folder.path}"
        )
    # A run of an older version has the settings that came later at their defaults.
    settings, asked = (
        {
            "model": as_table(folder.model_config(part)),
            "train": as_table(folder.train_config(part)),
        }
        for part in (manifest, manifest.request)
    )
    return manifest.as_table() | settings | {"request": manifest.request.as_table() | asked}


def check_settings(folder: RunFolder, asked: Tables, extend: int | None) -> None:
    """Refuse settings that are known to be others before the text is read; see `compatible`."""
    tables = trained_tables(folder)
    before, now = _counted(folder, tables, asked, extend)
    for side in (before, now):  # the text and its tokenizer, and whatever a base is, come later
        for key in ("model.vocab_size", "data.fingerprint", "from.weights"):
            side.pop(key, None)
    _refuse_others(folder, tables, asked, before, now, _changes(before, now, lambda line: None))


def compatible(folder: RunFolder, asked: Tables, extend: int | None, notice: Notice) -> Tables:
    """Return run.toml's tables if they are of this request; tell every difference if not."""
    tables = trained_tables(folder)
    before, now = _counted(folder, tables, asked, extend)
    accepted = _changes(before, now, notice)
    _refuse_others(folder, tables, asked, before, now, accepted)
    for key in accepted:
        name = key.partition(".")[2]
        for settings in (tables["train"], tables["request"]["train"]):
            settings.pop(name, None)
            if key in now:
                settings[name] = now[key]
    return tables


def _counted(
    folder: RunFolder, tables: Tables, asked: Tables, extend: int | None
) -> tuple[Tables, Tables]:
    """Return what counts of the run's request and of this one; `tables` are lengthened if asked."""
    if extend is not None:
        _extend(folder, tables, extend)
    before, now = (
        {key: value for key, value in flatten(side).items() if key.startswith(COUNTED)}
        for side in (tables["request"], asked)
    )
    if extend is not None:
        for key in LENGTHS:
            before.pop(key, None)
            now.pop(key, None)
    return before, now


def _refuse_others(
    folder: RunFolder, tables: Tables, asked: Tables, before: Tables, now: Tables, accepted: Keys
) -> None:
    """Raise `UsageError` unless all but the accepted keys are the same, in the user's own words."""
    keys = sorted(before.keys() | now.keys())
    different = [key for key in keys if before.get(key) != now.get(key) and key not in accepted]
    if not different:
        return
    parts = dict.fromkeys(key.partition(".")[0] for key in different)
    said = [
        pair
        for part in parts
        for pair in _said(tables["request"], asked, part)
        or differences(before, now, [key for key in different if key.startswith(f"{part}.")])
    ]
    raise UsageError(
        f"{folder.path} holds a run with other settings ({'; '.join(said)})"
        f"{as_made(tables, '; it was made by: ')}; 'groundup resume {folder.path}' goes on with "
        "it, another --run NAME begins anew, --extend STEPS lengthens it"
    )


def _said(old: Tables, new: Tables, part: str) -> list[str]:
    """Return what was said otherwise and makes a part of the request another.

    Nothing where its words are the same, and where an older version has not recorded them.
    """
    if "changes" not in old:
        return []
    before, now = flatten(old), flatten(new)
    for side in (before, now):
        if "train.minutes" in side or "train.epochs" in side:
            side.pop("train.steps", None)  # nobody said it: it follows
    causes = CAUSES.get(part, (part,))
    keys = [key for key in sorted(before.keys() | now.keys()) if key.startswith(causes)]
    return differences(before, now, keys)


def differences(before: Tables, now: Tables, keys: Keys) -> list[str]:
    """Return in words what those of `keys` were that are otherwise now."""
    return [
        f"{key.rpartition('.')[2]} was {before.get(key, 'not set')}, now {now.get(key, 'not set')}"
        for key in keys
        if before.get(key) != now.get(key)
    ]


def as_made(tables: Tables, before: str) -> str:
    """Return the command that a run was begun with, after the words `before`, where it is known."""
    command = tables["request"].get("command")
    return f"{before}{shown(command, LONGEST_COMMAND)}" if command else ""


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
        settings.pop("epochs", None)
    tables.get("plan", {}).pop("expected_seconds", None)
