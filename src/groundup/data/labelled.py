"""Labelled records: read, cleaned of duplicates, divided, and kept beside the token shards.

The fingerprint after which their folder (`labelled_folder.py`) is called is that of all that was
read, and of all that decides what becomes of it. So the same records are found again.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from groundup.base.errors import DataError, UsageError, shown
from groundup.data.duplicates import without_repeated, without_those_of
from groundup.data.examples import Example, ExampleReader
from groundup.data.label_fields import Fields
from groundup.data.labelled_folder import (
    FORMAT,
    MOST_CLASSES,
    LabelledData,
    keep_labelled,
    open_labelled,
)
from groundup.data.labels import in_order
from groundup.data.own_folders import LABELLED
from groundup.data.prepare import OnProgress
from groundup.data.record_folder import by_split
from groundup.data.record_sets import CLASSIFY
from groundup.data.record_sources import check_reading
from groundup.data.stratified import SPLITS, spelling_notices, split_by_group, split_by_text


def prepare_labelled(
    sources: Sequence[str],
    data_folder: str | Path,
    *,
    text_field: str | None = None,
    label_field: str | None = None,
    group_field: str | None = None,
    test_sources: Sequence[str] = (),
    split_seed: int = 1,
    on_bad_record: str = "stop",
    encoding: str = "utf-8",
    progress: OnProgress | None = None,
) -> LabelledData:
    """Read, clean and divide labelled records into a folder under `data_folder`, or find it there.

    `sources` are files of records or the name of a `LabelledSet`. Fields that are None are guessed
    as in `label_fields.py`; an empty `group_field` divides named records without their groups. The
    examples of `test_sources` are the test; without any, a tenth of each class is. `progress` is
    told "records" and how many were read. Raises `UsageError` and `DataError`, in one line.
    """
    fields = Fields(text=text_field, label=label_field, group=group_field)
    fields.check()
    check_reading(sources, test_sources, on_bad_record, encoding, CLASSIFY)
    told = progress or (lambda stage, done, total: None)
    reader = ExampleReader(
        fields=fields,
        on_bad_record=on_bad_record,
        encoding=encoding,
        progress=lambda n_records: told("records", n_records, 0),
    )
    read, test = reader.read(sources), reader.read(test_sources)
    told("records", reader.n_records, reader.n_records)
    try:
        division = _Division.of(read, test, reader, split_seed)
    except DataError as error:  # about all sources together, and why there are not more examples
        left_out = _left_out(reader)
        more = f" (left out: {left_out})" if left_out and left_out not in str(error) else ""
        raise DataError(f"{shown(' '.join(reader.chosen), 200)}: {error}{more}") from error
    manifest = division.manifest(sources, test_sources, reader, split_seed)
    folder = Path(data_folder) / division.fingerprint
    examples = list(zip(division.examples, division.splits, strict=True))
    keep_labelled(folder, examples, manifest, told)
    notices = (*reader.log.lines(), *reader.labels.notices(), *division.notices)
    return replace(open_labelled(folder), notices=notices, just_read=by_split(examples))


@dataclass(frozen=True, kw_only=True)
class _Division:
    """Which examples are left, on which side each is, and why."""

    fingerprint: str
    examples: list[Example]
    splits: list[str]
    labels: tuple[str, ...]
    rule: str
    notices: list[str]

    @classmethod
    def of(
        cls, read: list[Example], test: list[Example], reader: ExampleReader, seed: int
    ) -> _Division:
        """Clean and divide what was read."""
        fingerprint = _fingerprint(read, test, reader, seed)
        rest, test = _cleaned(read, test, reader)
        labels = _classes(rest, test)
        held_out = ("val",) if test else ("test", "val")
        grouped = _is_grouped(rest)
        divide = split_by_group if grouped else split_by_text
        splits = divide(rest, seed, held_out)
        return cls(
            fingerprint=fingerprint,
            examples=[*rest, *test],
            splits=[*splits, *["test"] * len(test)],
            labels=labels,
            rule=_rule(held_out, grouped, seed),
            notices=[*spelling_notices(rest), *_absent(labels, test)],
        )

    def manifest(
        self,
        sources: Sequence[str],
        test_sources: Sequence[str],
        reader: ExampleReader,
        seed: int,
    ) -> dict[str, Any]:
        """Return what the manifest says, without the hash of the file."""
        classes = {split: Counter[str]() for split in SPLITS}
        groups: dict[str, set[str]] = {split: set() for split in SPLITS}
        for example, split in zip(self.examples, self.splits, strict=True):
            classes[split][example.label] += 1
            groups[split].update({example.group} - {None})  # type: ignore[arg-type]
        return {
            "format": FORMAT,
            "kind": LABELLED.kind,
            "fingerprint": self.fingerprint,
            "sources": list(sources),
            "test_sources": list(test_sources),
            "fields": {source: vars(chosen) for source, chosen in reader.chosen.items()},
            "on_bad_record": reader.on_bad_record,
            "records": reader.n_records,
            "left_out": reader.log.left_out,
            "labels": list(self.labels),
            "split_rule": self.rule,
            "split_seed": seed,
            "splits": {
                split: {
                    "examples": classes[split].total(),
                    "groups": len(groups[split]),
                    "classes": {label: classes[split][label] for label in self.labels},
                }
                for split in SPLITS
            },
        }


def _left_out(reader: ExampleReader) -> str:
    """Return what was left out so far, in words."""
    return "; ".join(f"{count:,} {what}" for what, count in reader.log.skipped.items())


def _cleaned(
    read: list[Example], test: list[Example], reader: ExampleReader
) -> tuple[list[Example], list[Example]]:
    """Return what is left to learn from and to test on, without texts that stand there twice."""
    test_left = without_repeated(test, reader.log)
    rest = without_those_of(test_left, without_repeated(read, reader.log), reader.log)
    for left, given, use in ((rest, read, "learn from"), (test_left, test, "test on")):
        if given and not left:
            raise DataError(
                f"no example is left to {use} of {len(given):,} ({_left_out(reader)}); give others"
            )
    return rest, test_left


def _is_grouped(examples: Sequence[Example]) -> bool:
    grouped = {example.group is not None for example in examples}
    if len(grouped) > 1:
        raise UsageError(
            "some of the records have groups and some have none; name the groups of all with "
            "--group-field, or divide without groups by --group-field ''"
        )
    return grouped == {True}


def _classes(rest: Sequence[Example], test: Sequence[Example]) -> tuple[str, ...]:
    """Return the classes, all of which must be among what is learnt."""
    labels = in_order(example.label for example in rest)
    if len(labels) > MOST_CLASSES:
        raise DataError(
            f"{len(labels):,} different labels in {len(rest):,} examples, as of texts or ids; "
            f"expected {MOST_CLASSES:,} classes at most; choose another field with --label-field"
        )
    known = set(labels)
    unseen = {e.label: e.where for e in reversed(test) if e.label not in known}
    if unseen:
        named = ", ".join(f"'{shown(one, 40)}' ({unseen[one]})" for one in in_order(unseen)[:3])
        more = f", … ({len(unseen):,})" if len(unseen) > 3 else ""
        raise DataError(
            f"the test records have labels that no training example has: {named}{more}; expected "
            f"some of {shown(', '.join(labels), 200)}; mend them, or add training examples"
        )
    return labels


def _absent(labels: Sequence[str], test: Sequence[Example]) -> list[str]:
    """Return a line for classes that the test records lack, where there are test records."""
    absent = sorted(set(labels) - {example.label for example in test})
    if not test or not absent:
        return []
    return [f"the test records have no example of {shown(', '.join(absent), 200)}"]


def _rule(held_out: Sequence[str], grouped: bool, seed: int) -> str:
    names = {"test": "tests", "val": "validates"}
    shares = " and a tenth ".join(names[split] for split in held_out)
    given = "" if "test" in held_out else "; the test records were given"
    how = (
        "by group, whole groups in the best of many orders by hash"
        if grouped
        else "by class, in the order of SHA-256 of seed and text"
    )
    return f"{how}: about a tenth {shares}, the rest trains (seed {seed}){given}"


def _fingerprint(
    read: Sequence[Example], test: Sequence[Example], reader: ExampleReader, seed: int
) -> str:
    """Name what was read, what of it could not be, and how it is divided."""
    digest = hashlib.sha256(json.dumps([FORMAT, seed, reader.log.skipped]).encode())
    for examples in (read, test):
        for example in examples:
            parts = [example.text, example.label, example.group]
            digest.update(json.dumps(parts, ensure_ascii=False).encode())
        digest.update(b"\n")
    return digest.hexdigest()[:16]
