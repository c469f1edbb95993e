"""The folder of records that were cleaned and divided: how it is written, opened and checked.

    data/FINGERPRINT/
      NAME.jsonl            a line a record, each with its split
      manifest.json         what was read, what was left out, how it was divided
      lock

The folder is finished when the manifest stands in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from groundup.base.errors import DataError, quoted, shown
from groundup.base.files import atomic_writer, file_error, file_sha256, write_json
from groundup.base.lock import file_lock
from groundup.base.parse import parse_json
from groundup.base.regular import read_bytes
from groundup.data.own_folders import Kept
from groundup.data.prepare import OnProgress
from groundup.data.stratified import SPLITS
from groundup.data.tokens import LOCK, MANIFEST

T = TypeVar("T")
WRONG_SHAPE = (ValueError, LookupError, TypeError, AttributeError)
"""What comes of a file that is JSON, but not as we wrote it."""


@dataclass(frozen=True)
class KeptRecords:
    """A folder of records that is complete."""

    folder: Path
    manifest: dict[str, Any]
    notices: tuple[str, ...] = ()
    """What was guessed, changed and left out, where the records have just been read."""
    just_read: dict[str, list[Any]] | None = field(default=None, repr=False, compare=False)
    """The same records by split, where they have just been read: they say where they stand now, the
    folder where those stood that it was made of."""

    @property
    def fingerprint(self) -> str:
        """What the folder is called after."""
        return str(self.manifest["fingerprint"])

    @property
    def split_rule(self) -> str:
        """How the records were divided, in words."""
        return str(self.manifest["split_rule"])


def keep(
    folder: Path,
    kept: Kept,
    records: Iterable[tuple[dict[str, Any], str]],
    manifest: dict[str, Any],
    told: OnProgress,
) -> None:
    """Write records, each with its split, and then the manifest, unless they are there."""
    with file_lock(folder / LOCK, lambda holder: told("waiting", 0, 0)):
        if (folder / MANIFEST).exists():
            return
        path = folder / kept.file
        with atomic_writer(path) as file:
            file.writelines(_line(record | {"split": split}) for record, split in records)
        written = {"file": kept.file, "size": path.stat().st_size, "sha256": file_sha256(path)}
        write_json(folder / MANIFEST, manifest | {kept.key: written})


def _line(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, ensure_ascii=False) + "\n").encode()


def opened_manifest(
    folder: Path, kept: Kept, form: int, check: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Return the manifest of a folder of format `form`, after checking every byte of its records.

    `check` raises a ValueError, or whatever comes of another shape, where the manifest makes no
    sense. What is missing or damaged is a `DataError` that names the file.
    """
    manifest = _read_manifest(folder, kept, form, check)
    path = folder / kept.file
    try:
        sha256 = file_sha256(path)
    except FileNotFoundError:
        raise DataError(f"{path}: missing; {_remedy(folder)}") from None
    except OSError as error:
        raise DataError(str(file_error(path, error))) from error
    if sha256 != manifest[kept.key]["sha256"]:
        raise DataError(f"{path}: damaged (its SHA-256 has changed); {_remedy(folder)}")
    return manifest


def _remedy(folder: Path) -> str:
    return f"remove {folder} and give the records again"


def _read_manifest(
    folder: Path, kept: Kept, form: int, check: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = parse_json(read_bytes(path))
        if (kind := manifest.get("kind")) != kept.kind:
            other = f"{shown(kind)} examples" if kind else "token shards"
            raise DataError(f"{folder}: {other}, not {kept.what}; name a folder of those")
        if manifest["format"] != form:
            raise DataError(
                f"{path}: format {quoted(manifest['format'])}, but this version reads format "
                f"{form}; {_remedy(folder)}"
            )
        if not isinstance(manifest[kept.key]["sha256"], str):
            raise ValueError("expected the SHA-256 of the records")
        check(manifest)
    except FileNotFoundError:
        raise DataError(f"{folder}: no {kept.what} (no {MANIFEST}); check the path") from None
    except OSError as error:
        raise DataError(str(file_error(path, error))) from error
    except WRONG_SHAPE as error:
        reason = f"lacks {shown(error.args[0])}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{path}: damaged ({shown(reason, 200)}); {_remedy(folder)}") from error
    return manifest


def by_split(records: Iterable[tuple[T, str]]) -> dict[str, list[T]]:
    """Return the records of each split, of records each with its split."""
    splits: dict[str, list[T]] = {split: [] for split in SPLITS}
    for record, split in records:
        splits[split].append(record)
    return splits


def read_splits(
    folder: Path,
    kept: Kept,
    made: Callable[[dict[str, Any]], T],
    agrees: Callable[[str, list[T]], bool],
) -> dict[str, list[T]]:
    """Return what `made` makes of the records of each split, if the manifest `agrees` with it."""
    splits: dict[str, list[T]] = {split: [] for split in SPLITS}
    path = folder / kept.file
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            for line in lines:
                entry = json.loads(line)
                splits[entry.pop("split")].append(made(entry))
    except OSError as error:
        raise DataError(str(file_error(path, error))) from error
    except WRONG_SHAPE as error:
        raise DataError(f"{path}: damaged ({shown(str(error), 200)}); {_remedy(folder)}") from error
    if not all(agrees(split, records) for split, records in splits.items()):
        raise DataError(f"{path}: not the {kept.key} that {MANIFEST} counts; {_remedy(folder)}")
    return splits
