"""The folder of labelled examples (`record_folder.py`): text, label, group, where, split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from groundup.base.errors import quoted
from groundup.data.examples import Example
from groundup.data.own_folders import LABELLED
from groundup.data.prepare import OnProgress
from groundup.data.record_folder import KeptRecords, keep, opened_manifest, read_splits
from groundup.data.stratified import SPLITS

FORMAT = 1
MOST_CLASSES = 1000


@dataclass(frozen=True)
class LabelledData(KeptRecords):
    """A folder of labelled examples that is complete."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes in their order: class 0 is the first."""
        return tuple(self.manifest["labels"])

    def counts(self, split: str) -> dict[str, int]:
        """Return how many examples of each class are in "train", "val" or "test"."""
        counts: dict[str, int] = self.manifest["splits"][split]["classes"]
        return dict(counts)

    def examples(self, split: str) -> list[Example]:
        """Return the examples of "train", "val" or "test", in the order of the records."""
        return list(self._splits[split])

    @cached_property
    def _splits(self) -> dict[str, list[Example]]:
        return self.just_read or read_splits(
            self.folder, LABELLED, lambda entry: Example(**entry), self._has_the_classes_of
        )

    def _has_the_classes_of(self, split: str, examples: list[Example]) -> bool:
        return Counter(example.label for example in examples) == Counter(self.counts(split))

    def __repr__(self) -> str:
        sizes = (f"{self.manifest['splits'][split]['examples']:,} {split}" for split in SPLITS)
        return f"LabelledData({self.folder}: {' + '.join(sizes)}, {len(self.labels)} classes)"


def keep_labelled(
    folder: Path,
    examples: Iterable[tuple[Example, str]],
    manifest: dict[str, Any],
    told: OnProgress,
) -> None:
    """Write examples, each with its split, and then the manifest, unless they are there."""
    parts = ("text", "label", "group", "where")
    entries = (
        ({key: getattr(example, key) for key in parts}, split) for example, split in examples
    )
    keep(folder, LABELLED, entries, manifest, told)


def open_labelled(folder: str | Path) -> LabelledData:
    """Open a folder of labelled examples after checking every byte.

    What is missing or damaged is a `DataError` that names the file.
    """
    folder = Path(folder)
    return LabelledData(folder, opened_manifest(folder, LABELLED, FORMAT, _check))


def _check(manifest: dict[str, Any]) -> None:
    """Raise a ValueError, or whatever comes of another shape, where a manifest makes no sense."""
    labels = manifest["labels"]
    texts = [*labels, *(manifest[key] for key in ("fingerprint", "split_rule"))]
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
