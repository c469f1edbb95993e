"""The folder of labelled examples: what stands in it, how it is written, opened and checked.

    data/FINGERPRINT/
      examples.jsonl        a line an example: text, label, group, where, split
      manifest.json         what was read, what was left out, how it was divided
      lock

The folder is finished when the manifest stands in it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from groundup.base.errors import DataError, quoted, shown
from groundup.base.files import atomic_writer, file_error, file_sha256, read_bytes, write_json
from groundup.base.lock import file_lock
from groundup.base.parse import parse_json
from groundup.data.examples import Example
from groundup.data.own_folders import EXAMPLES, LABELLED_KIND
from groundup.data.prepare import OnProgress
from groundup.data.stratified import SPLITS
from groundup.data.tokens import LOCK, MANIFEST

FORMAT = 1
MOST_CLASSES = 1000


@dataclass(frozen=True)
class LabelledData:
    """A folder of labelled examples that is complete."""

    folder: Path
    manifest: dict[str, Any]
    notices: tuple[str, ...] = ()
    """What was guessed, changed and left out, where the records have just been read."""

    @property
    def fingerprint(self) -> str:
        """What the folder is called after."""
        return str(self.manifest["fingerprint"])

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes in their order: class 0 is the first."""
        return tuple(self.manifest["labels"])

    @property
    def split_rule(self) -> str:
        """How the examples were divided, in words."""
        return str(self.manifest["split_rule"])

    def counts(self, split: str) -> dict[str, int]:
        """Return how many examples of each class are in "train", "val" or "test"."""
        counts: dict[str, int] = self.manifest["splits"][split]["classes"]
        return dict(counts)

    def examples(self, split: str) -> list[Example]:
        """Return the examples of "train", "val" or "test", in the order of the records."""
        return list(self._splits[split])

    @cached_property
    def _splits(self) -> dict[str, list[Example]]:
        return _read_examples(self.folder, self.manifest)

    def __repr__(self) -> str:
        sizes = (f"{self.manifest['splits'][split]['examples']:,} {split}" for split in SPLITS)
        return f"LabelledData({self.folder}: {' + '.join(sizes)}, {len(self.labels)} classes)"


def keep(
    folder: Path,
    examples: Iterable[tuple[Example, str]],
    manifest: dict[str, Any],
    told: OnProgress,
) -> None:
    """Write examples, each with its split, and then the manifest, unless they are there."""
    with file_lock(folder / LOCK, lambda holder: told("waiting", 0, 0)):
        if (folder / MANIFEST).exists():
            return
        path = folder / EXAMPLES
        with atomic_writer(path) as file:
            file.writelines(_line(example, split) for example, split in examples)
        record = {"file": EXAMPLES, "size": path.stat().st_size, "sha256": file_sha256(path)}
        write_json(folder / MANIFEST, manifest | {"examples": record})


def _line(example: Example, split: str) -> bytes:
    parts = {key: getattr(example, key) for key in ("text", "label", "group", "where")}
    return (json.dumps(parts | {"split": split}, ensure_ascii=False) + "\n").encode()


def open_labelled(folder: str | Path) -> LabelledData:
    """Open a folder of labelled examples after checking every byte.

    What is missing or damaged is a `DataError` that names the file.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder)
    path = folder / EXAMPLES
    try:
        sha256 = file_sha256(path)
    except FileNotFoundError:
        raise DataError(f"{path}: missing; {_remedy(folder)}") from None
    except OSError as error:
        raise DataError(str(file_error(path, error))) from error
    if sha256 != manifest["examples"]["sha256"]:
        raise DataError(f"{path}: damaged (its SHA-256 has changed); {_remedy(folder)}")
    return LabelledData(folder, manifest)


def _remedy(folder: Path) -> str:
    return f"remove {folder} and give the records again"


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = parse_json(read_bytes(path))
        if manifest.get("kind") != LABELLED_KIND:
            raise DataError(
                f"{folder}: token shards, not labelled examples; name a folder of those"
            )
        if manifest["format"] != FORMAT:
            raise DataError(
                f"{path}: format {quoted(manifest['format'])}, but this version reads format "
                f"{FORMAT}; {_remedy(folder)}"
            )
        _check(manifest)
    except FileNotFoundError:
        raise DataError(f"{folder}: no labelled examples (no {MANIFEST}); check the path") from None
    except OSError as error:
        raise DataError(str(file_error(path, error))) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        reason = f"lacks {shown(error.args[0])}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{path}: damaged ({shown(reason, 200)}); {_remedy(folder)}") from error
    return manifest


def _check(manifest: dict[str, Any]) -> None:
    """Raise a ValueError, or whatever comes of another shape, where a manifest makes no sense."""
    labels, texts = manifest["labels"], [manifest[k] for k in ("fingerprint", "split_rule")]
    texts += [*labels, manifest["examples"]["sha256"]]
    if (
        not all(isinstance(text, str) for text in texts)
        or len(set(labels)) != len(labels)
        or not (2 <= len(labels) <= MOST_CLASSES)
    ):
        raise ValueError("expected two or more different labels, and texts")
    for split in SPLITS:
        entry = manifest["splits"][split]
        counts = [entry["classes"][label] for label in labels]
        if any(type(count) is not int or count < 0 for count in counts):
            raise ValueError(f"{quoted(counts)}, expected numbers of examples")
        if sum(counts) != entry["examples"]:
            raise ValueError(f"{quoted(entry['examples'])}, expected the sum of its classes")


def _read_examples(folder: Path, manifest: dict[str, Any]) -> dict[str, list[Example]]:
    """Return the examples of each split, as many as the manifest says."""
    splits: dict[str, list[Example]] = {split: [] for split in SPLITS}
    path = folder / EXAMPLES
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            for line in lines:
                entry = json.loads(line)
                splits[entry.pop("split")].append(Example(**entry))
    except OSError as error:
        raise DataError(str(file_error(path, error))) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: damaged ({shown(str(error), 200)}); {_remedy(folder)}") from error
    for split, examples in splits.items():
        found = Counter(example.label for example in examples)
        if found != Counter(manifest["splits"][split]["classes"]):
            raise DataError(f"{path}: not the examples that {MANIFEST} counts; {_remedy(folder)}")
    return splits
