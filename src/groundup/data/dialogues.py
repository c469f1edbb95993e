"""Instructions, dialogues and preferences: read, cleaned of duplicates, divided, and kept.

What stands in their folder, beside the token shards, says `dialogue_folder.py`. Its name is that of
all that was read, and of all that decides what becomes of it. So the same records are found again.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from groundup.base.errors import DataError, shown
from groundup.base.words import counted as in_words
from groundup.data.dialogue import LEFT_OUT, Entry
from groundup.data.dialogue_folder import (
    FORMAT,
    DialogueData,
    counted,
    keep_dialogues,
    open_dialogues,
    vars_of,
)
from groundup.data.dialogue_formats import check_format
from groundup.data.dialogue_reader import DialogueReader, Read
from groundup.data.duplicates import without_repeated, without_those_of
from groundup.data.own_folders import DIALOGUES
from groundup.data.prepare import OnProgress
from groundup.data.record_folder import by_split
from groundup.data.record_sets import INSTRUCT
from groundup.data.record_sources import check_reading
from groundup.data.stratified import HELD_OUT, SPLITS


def prepare_dialogues(
    sources: Sequence[str],
    data_folder: str | Path,
    *,
    format: str | None = None,
    test_sources: Sequence[str] = (),
    split_seed: int = 1,
    on_bad_record: str = "stop",
    encoding: str = "utf-8",
    progress: OnProgress | None = None,
) -> DialogueData:
    """Read, clean and divide dialogues or preferences into a folder, or find it there.

    `sources` are files of records or names of `RECORD_SETS`; `data_folder` is what their folder is
    in. A `format` that is None is detected for each source (`dialogue_formats.py`). The records of
    `test_sources` are the test; without any, a tenth is. `progress` is told "records" and how many
    were read. Raises `UsageError` and `DataError`, in one line.
    """
    check_format(format)
    check_reading(sources, test_sources, on_bad_record, encoding, INSTRUCT)
    told = progress or (lambda stage, done, total: None)
    reader = DialogueReader(
        format=format,
        on_bad_record=on_bad_record,
        encoding=encoding,
        progress=lambda n_records: told("records", n_records, 0),
    )
    read, test = reader.read(sources), reader.read_test(test_sources)
    told("records", reader.n_records, reader.n_records)
    fingerprint = _fingerprint(read, test, reader, split_seed)
    try:
        division = _Division.of(read, test, reader, split_seed)
    except DataError as error:  # about all sources together
        raise DataError(f"{shown(' '.join(reader.chosen), 200)}: {error}") from error
    asked = {"sources": list(sources), "test_sources": list(test_sources), "split_seed": split_seed}
    folder = Path(data_folder) / fingerprint
    manifest = {"fingerprint": fingerprint, **asked, **division.manifest(reader)}
    keep_dialogues(folder, division.entries, manifest, told)
    just_read, notices = by_split(division.entries), tuple(reader.log.lines())
    return replace(open_dialogues(folder), notices=notices, just_read=just_read)


@dataclass(frozen=True, kw_only=True)
class _Division:
    """Which entries are left, each with its split, and why there."""

    entries: list[tuple[Entry, str]]
    rule: str

    def manifest(self, reader: DialogueReader) -> dict[str, Any]:
        """Return what the manifest says of what was read, left out and divided."""
        return {
            "format": FORMAT,
            "kind": DIALOGUES.kind,
            "formats": {source: vars(chosen) for source, chosen in reader.chosen.items()},
            "on_bad_record": reader.on_bad_record,
            "records": reader.n_records,
            "left_out": reader.log.left_out,
            "split_rule": self.rule,
            "splits": {
                split: counted(entries) for split, entries in by_split(self.entries).items()
            },
        }

    @classmethod
    def of(cls, read: Read, test: Sequence[Entry], reader: DialogueReader, seed: int) -> _Division:
        """Clean and divide what was read: what tests comes first, then what validates."""
        log, n_given = reader.log, len(read) + len(test)
        said = {side: [entry for entry, says in read if says == side] for side in ("", *SPLITS)}
        tests = without_repeated([*test, *said["test"]], log, LEFT_OUT)
        validates = _beside(tests, said["val"], reader)
        rest = _beside(
            [*tests, *validates], [e for e, says in read if says in ("", "train")], reader
        )
        held_out = [
            split for split, given in zip(HELD_OUT, (tests, validates), strict=True) if not given
        ]
        left_out = "; ".join(f"{count:,} {what}" for what, count in log.skipped.items())
        why = f" (left out: {left_out})" if left_out else ""
        if test and not tests:
            raise DataError(f"no record of {len(test):,} is left to test on{why}; give others")
        if len(rest) <= len(held_out):
            left = in_words(len(rest), "record") if rest else "no record"
            raise DataError(
                f"{left} of {n_given:,} left to learn from{why}; expected {1 + len(held_out)} at "
                f"least, one for each of {', '.join(('train', *held_out))}; give more"
            )
        sides = split_by_question(rest, seed, held_out)
        rule = _rule(held_out, seed, n_scattered(rest, sides))
        divided = [*((e, "test") for e in tests), *((e, "val") for e in validates)]
        return cls(entries=[*zip(rest, sides, strict=True), *divided], rule=rule)


def _beside(
    held_out: Sequence[Entry], entries: Sequence[Entry], reader: DialogueReader
) -> list[Entry]:
    """Return entries that stand there once, and are not among those held out."""
    first = without_repeated(entries, reader.log, LEFT_OUT)
    return without_those_of(held_out, first, reader.log, LEFT_OUT)


def split_by_question(entries: Sequence[Entry], seed: int, held_out: Sequence[str]) -> list[str]:
    """Return the split of each entry: about a tenth in each one held out, the rest trains.

    Entries with the same question (all up to the last reply) are on one side, unless they are more
    than a tenth of all. SHA-256 of seed and question decides, whatever the order of the records.
    """
    sharing = Counter(entry.group for entry in entries)
    most, size = max(1, len(entries) // 10), max(1, (len(entries) + 5) // 10)
    keys = [e.group if sharing[e.group] <= most else e.normalised.hex() for e in entries]
    members = Counter(keys)
    order = sorted(members, key=lambda key: hashlib.sha256(f"{seed} {key}".encode()).digest())
    side, left = dict.fromkeys(order, "train"), iter(order)
    for split in held_out:
        n_held_out = 0
        while n_held_out < size:
            key = next(left)
            side[key] = split
            n_held_out += members[key]
    return [side[key] for key in keys]


def n_scattered(entries: Sequence[Entry], sides: Sequence[str]) -> int:
    """Return how many entries share their question with one on another side."""
    found: dict[str, set[str]] = {}
    for entry, side in zip(entries, sides, strict=True):
        found.setdefault(entry.group, set()).add(side)
    return sum(len(found[entry.group]) > 1 for entry in entries)


def _rule(held_out: Sequence[str], seed: int, scattered: int) -> str:
    names = {"test": "tests", "val": "validates"}
    given = ", ".join(split for split in HELD_OUT if split not in held_out)
    kept = f"{given} as given; " if given else ""
    if not held_out:
        return f"{kept}the rest trains"
    several = (
        f"; {scattered:,} records share a question with one on another side, as it makes up more "
        "than a tenth of all"
        if scattered
        else ""
    )
    shares = " and a tenth ".join(names[split] for split in held_out)
    return (
        f"{kept}in the order of SHA-256 of seed and question: about a tenth {shares}, the rest "
        f"trains (seed {seed}){several}"
    )


def _fingerprint(read: Read, test: Sequence[Entry], reader: DialogueReader, seed: int) -> str:
    """Name what was read, what of it could not be, and how it is divided."""
    formats = [chosen.format for chosen in reader.chosen.values()]
    digest = hashlib.sha256(json.dumps([FORMAT, seed, formats, reader.log.skipped]).encode())
    for entries in (read, [(entry, "test") for entry in test]):
        for entry, side in entries:
            parts = vars_of(entry) | {"where": side}
            digest.update(json.dumps(parts, ensure_ascii=False).encode())
        digest.update(b"\n")
    return digest.hexdigest()[:16]
