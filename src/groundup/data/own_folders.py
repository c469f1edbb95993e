"""Folders and pages of groundup's own: known by what is in them, and no text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.base.errors import GroundupError, UsageError, shown
from groundup.base.file_names import PAGE_MARK, RUN_MANIFEST, TOKENIZER
from groundup.base.files import UNFINISHED
from groundup.base.parse import parse_json, parse_toml
from groundup.base.regular import open_regular, read_bytes
from groundup.data.tokens import FINISHED_SHARDS, LOCK, MANIFEST, SHARD

PREPARED, RUN = "token shards", "a run"
EXPERIMENT, MODEL, PAGE = "an experiment", "a model", "a page"
HEAD_BYTES = 2048
"""Of a page, among which its mark is."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A kind of folder of records: what they are, as its manifest says it, and their file."""

    what: str
    kind: str
    file: str

    @property
    def key(self) -> str:
        """What the manifest calls the file, and they are in it."""
        return Path(self.file).stem


LABELLED = Kept(what="labelled examples", kind="labelled", file="examples.jsonl")
DIALOGUES = Kept(what="dialogues", kind="dialogue", file="dialogues.jsonl")
KEPT = (LABELLED, DIALOGUES)


def own_kind(folder: Path, names: set[str]) -> str | None:
    """Return what of ours the folder with the files `names` is, None where it is not ours.

    A run has a `run.toml` with its tables, an experiment a `lab.json`, an exported model a
    `config.json` beside its tensors. Shards and records have our manifest; until that is
    written, there is nothing in their folder but what we put there, and a lock or
    `unfinished.json` is.
    """
    if RUN_MANIFEST in names and _has(folder / RUN_MANIFEST, "format", "model", "data"):
        return RUN
    if "lab.json" in names and _has(folder / "lab.json", "format", "experiment", "scales"):
        return EXPERIMENT
    has_tensors = any(name.endswith(".safetensors") for name in names)
    if has_tensors and "config.json" in names and _has(folder / "config.json", "model_type"):
        return MODEL
    if MANIFEST in names and _has(folder / MANIFEST, "format", "shard_tokens", "splits"):
        return PREPARED
    for kept in KEPT:
        keys = ("format", "kind", "fingerprint", "split_rule", kept.key)
        if MANIFEST in names and _has(folder / MANIFEST, *keys):
            return kept.what
    if not {LOCK, FINISHED_SHARDS} & names or not all(map(_is_ours, names)):
        return None
    return next((kept.what for kept in KEPT if kept.file in names), PREPARED)


def is_own_page(path: Path) -> bool:
    """Tell whether a file is a report of ours."""
    if path.suffix != ".html":
        return False
    try:
        with open_regular(path) as file:
            return PAGE_MARK.encode() in file.read(HEAD_BYTES)
    except (OSError, GroundupError):
        return False


def _has(path: Path, *keys: str) -> bool:
    parse = parse_toml if path.name == RUN_MANIFEST else parse_json
    try:
        tables: Any = parse(read_bytes(path))
    except (OSError, ValueError, GroundupError):
        return False
    return isinstance(tables, dict) and tables.keys() >= set(keys)


def _is_ours(name: str) -> bool:
    return (
        name in (LOCK, FINISHED_SHARDS, TOKENIZER, *(kept.file for kept in KEPT))
        or name.startswith(UNFINISHED)
        or re.fullmatch(SHARD, name) is not None
    )


def check_shard_folder(folder: Path) -> None:
    """Raise `UsageError` where a folder named for shards holds anything else, as texts do.

    One that is absent or empty is fine, and so are hidden files.
    """
    if not folder.exists():
        return
    held = "is a file"
    if (kind := _kind(folder)) and any(folder.iterdir()):
        raise UsageError(
            f"--data {folder}: the {kind} of one preparation; name the folder around them, --data "
            f"{folder.parent}, and the text or records, and they are found again"
        )
    if folder.is_dir():
        entries = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        others = [path.name for path in entries if not _kind(path)]
        if not others:
            return
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        held = f"holds {shown(others[0])}{more}"
    raise UsageError(
        f"--data {folder}: token shards are kept there, but it {held}; "
        f"to train on a text, name it as the argument: groundup train {folder}"
    )


def _kind(folder: Path) -> str | None:
    """Return what of prepared data a folder holds, or may come to hold; None for anything else."""
    if not folder.is_dir():
        return None
    names = {path.name for path in folder.iterdir()}
    kind = own_kind(folder, names) if names else PREPARED
    return kind if kind in (PREPARED, *(kept.what for kept in KEPT)) else None
