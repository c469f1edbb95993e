"""What must be the same for a run to go on, what may change, and what is then no longer exact."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

from groundup import __version__
from groundup.base.errors import RunError, UsageError, shown
from groundup.config import as_table
from groundup.runs import RunFolder, flatten
from groundup.runs.checkpoint import list_checkpoints
from groundup.runs.find import near_runs
from groundup.runs.manifest import PRETRAINING, Manifest, RequestTable

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
WORDS = ("command", "from.run")
"""What a run was begun with, whatever its kind."""
PASSES = ("batch_size", "accumulation")
"""Settings of which the product counts: the sequences of a step."""
IN_PYTHON = "groundup.train.train"
"""The command of a run that `train` made in Python; its text is not kept."""
ARITHMETIC = ("versions.torch", "machine.cpu", "machine.instructions", "machine.gpu")
"""What rounds otherwise when it is another."""


def refusal(folder: RunFolder, said: str, made: str) -> str:
    """Return the line that refuses to go on with a run, where `said` tells what is otherwise."""
    return (
        f"{folder.path} holds a run with other settings ({said}){made}; 'groundup resume "
        f"{folder.path}' goes on with it, another --run NAME begins anew, --extend STEPS lengthens "
        "it"
    )


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What makes two requests the same run."""

    request: Tables
    """What run.toml keeps in [request]."""
    kind: str = PRETRAINING
    """The kind of training."""
    counted: Keys = ("",)
    """What those keys begin with that must be equal for a run to go on. The rest, as `WORDS` always
    do, say how it came about."""
    causes: Mapping[str, Keys] = field(default_factory=dict)
    """The words of the user that a part of it follows from; each setting of `train` was said."""
    changeable: Keys = (*CHANGEABLE, *PASSES)
    """Settings of `train` that may be others from now on; of `PASSES`, while the product stays."""
    refusal: Callable[[RunFolder, str, str], str] = refusal
    """Says that a folder holds another run: which, what differs, and how it was made."""


def versions() -> dict[str, str]:
    """Return the versions that a run was trained with, for run.toml."""
    own = {"python": platform.python_version(), "groundup": __version__}
    return own | {name: version(name) for name in PACKAGES}


def trained_run(folder: RunFolder, kind: str = PRETRAINING) -> tuple[Manifest, RequestTable]:
    """Return run.toml of a run that can go on; another kind of run, or of model, is refused."""
    manifest = folder.read()
    if manifest.quantization:
        raise UsageError(f"{folder.path} holds a quantised model; choose another --run name")
    if manifest.request is None:
        train_on = f", and train on from it with --from {folder.path}"
        raise UsageError(
            f"{folder.path} holds a model that was imported or saved, not a run; choose another "
            f"--run name{train_on if kind == PRETRAINING else ''}"
        )
    if manifest.kind != kind:
        raise UsageError(
            f"{folder.path} holds a training of the kind {shown(manifest.kind)}, not {kind}; "
            "choose another --run name, or go on with it by the program that began it"
        )
    # A run of an older version has what came later at its defaults.
    asked, decided = (
        (as_table(folder.model_config(told)), as_table(folder.train_config(told)))
        for told in (manifest.request, manifest)
    )
    request = replace(manifest.request, model=asked[0], train=asked[1])
    return replace(manifest, model=decided[0], train=decided[1], request=request), request


def check_new(folder: RunFolder, extend: int | None) -> None:
    """Refuse to lengthen a run that is not there, and a place that no new run can be in."""
    runs = folder.path.parent
    if runs.exists() and not runs.is_dir():
        raise UsageError(f"--runs {runs}: a file; expected a folder, old or new")
    if list_checkpoints(folder.checkpoints):  # of other settings, for all that is known
        raise RunError(
            f"{folder.path} holds checkpoints, but no run.toml, which says what they are of; "
            "restore it, or choose another --run name"
        )
    if extend is not None:
        hint = near_runs(folder.path) or "'groundup runs' lists runs"
        raise UsageError(
            f"--extend {extend}: there is no run {folder.path} to lengthen; {hint}; a new one "
            "takes --steps"
        )


def compatible(
    folder: RunFolder,
    identity: Identity,
    extend: int | None,
    notice: Notice = lambda line: None,
    unknown: Keys = (),
) -> Manifest:
    """Return run.toml if it is of this request; tell every difference if not.

    `extend` lengthens the run to so many steps. Keys that are still `unknown` of the request are
    left out of the comparison.
    """
    manifest, recorded = trained_run(folder, identity.kind)
    if extend is not None:
        manifest = _lengthened(folder, manifest, extend)
    dropped = [*WORDS, *unknown, *(LENGTHS if extend is not None else ())]
    before, now = (
        {key: value for key, value in flatten(request).items()
         if key.startswith(tuple(identity.counted)) and key not in dropped}
        for request in (recorded.as_table(), identity.request)
    )  # fmt: skip
    changed = _changes(identity, before, now, notice)
    if said := _differing(recorded, identity, before, now, changed):
        made = as_made(recorded, "; it was made by: ")
        raise UsageError(identity.refusal(folder, "; ".join(said), made))
    return _with_settings(manifest, {key.partition(".")[2]: now.get(key) for key in changed})


def _with_settings(manifest: Manifest, changes: Mapping[str, Any]) -> Manifest:
    """Return run.toml with settings changed, as decided and as asked; one that is None is unset."""
    assert manifest.request is not None, "it is of a training"
    decided, asked = (
        {key: value for key, value in {**(settings or {}), **changes}.items() if value is not None}
        for settings in (manifest.train, manifest.request.train)
    )
    return replace(manifest, train=decided, request=replace(manifest.request, train=asked))


def _differing(
    recorded: RequestTable, identity: Identity, before: Tables, now: Tables, accepted: Keys
) -> list[str]:
    """Return what is otherwise now, but for the accepted keys, in the user's own words."""
    keys = sorted(before.keys() | now.keys())
    different = [key for key in keys if before.get(key) != now.get(key) and key not in accepted]
    said = dict[str, None]()
    for part in dict.fromkeys(key.partition(".")[0] for key in different):
        those = [key for key in different if key.partition(".")[0] == part]
        pairs = _said(recorded, identity, part) or differences(before, now, those)
        said |= dict.fromkeys(pairs)  # one word may be the cause of several parts
    return list(said)


def _said(recorded: RequestTable, identity: Identity, part: str) -> list[str]:
    """Return what was said otherwise and makes a part of the request another.

    Nothing where its words are the same, and where an older version has not recorded them.
    """
    if recorded.text is None:
        return []
    before, now = flatten(recorded.as_table()), flatten(identity.request)
    for side in (before, now):
        if "train.minutes" in side or "train.epochs" in side:
            side.pop("train.steps", None)  # nobody said it: it follows
    causes = tuple(identity.causes.get(part, (part,)))
    keys = [key for key in sorted(before.keys() | now.keys()) if key.startswith(causes)]
    return differences(before, now, keys)


def differences(before: Tables, now: Tables, keys: Keys) -> list[str]:
    """Return in words what those of `keys` were that are otherwise now."""
    return [
        f"{key.rpartition('.')[2]} was {before.get(key, 'not set')}, now {now.get(key, 'not set')}"
        for key in keys
        if before.get(key) != now.get(key)
    ]


def as_made(request: RequestTable, before: str) -> str:
    """Return the command that a run was begun with, after the words `before`, where it is known."""
    return f"{before}{shown(request.command, LONGEST_COMMAND)}" if request.command else ""


def _changes(identity: Identity, before: Tables, now: Tables, notice: Notice) -> list[str]:
    """Return the keys whose values may be others from now on, and are."""
    changeable = [f"train.{name}" for name in identity.changeable]
    passes = [f"train.{name}" for name in PASSES]
    allowed = [key for key in changeable if key not in passes]
    for key in allowed:
        if now.get(key) == "auto":
            now[key] = before[key]  # as it was decided
    old, new = ([side[key] for key in passes] for side in (before, now))
    if set(passes) <= set(changeable) and old != new and old[0] * old[1] == new[0] * new[1]:
        allowed += passes
        notice(
            f"continues, not bit-identical: batch_size times accumulation was {old[0]} x {old[1]}"
            f", now {new[0]} x {new[1]}"
        )
    return [key for key in allowed if before.get(key) != now.get(key)]


def tell_inexact(before: Tables, now: Tables, notice: Notice) -> None:
    """Say if the rest of a run will be rounded otherwise than its beginning, and why.

    Both are tables as run.toml has them.
    """
    old, new = flatten(before), flatten(now)
    changed = [
        f"{key} was {old[key]}, now {new.get(key, 'none')}"
        for key in ARITHMETIC
        if key in old and old[key] != new.get(key)
    ]
    if old.get("train.device") == "cuda" and old.get("train.deterministic") != "on":
        changed.append("a GPU adds in no fixed order without deterministic=on")
    if changed:
        notice(f"continues, not bit-identical: {'; '.join(changed)}")


def _lengthened(folder: RunFolder, manifest: Manifest, steps: int) -> Manifest:
    """Return run.toml of a run that goes on to another step, whose time is no longer known."""
    before = folder.train_config(manifest).steps
    if steps < before:
        raise UsageError(
            f"--extend {steps}: {folder.path} already trains to step {before}; "
            "give a larger number of steps"
        )
    plan = manifest.plan and replace(manifest.plan, expected_seconds=None, decisions=None)
    longer = {"steps": steps, "minutes": None, "epochs": None}
    return _with_settings(replace(manifest, plan=plan), longer)
