"""Reads dialogues, texts and preferences from sources, and tells what came of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from groundup.base.errors import DataError, shown
from groundup.data.dialogue import Entry
from groundup.data.dialogue_formats import (
    PREFERENCE,
    SIDES,
    SPLIT,
    Chosen,
    choose_format,
    plainly_named,
)
from groundup.data.dialogue_records import entry_of
from groundup.data.messages import RecordError
from groundup.data.reading_log import ReadingLog
from groundup.data.record_sets import HEADERS, INSTRUCT
from groundup.data.record_sources import once_each, or_skip, refuse_broken, source_records
from groundup.data.text_fields import Records, Survey
from groundup.data.texts import Reading

TOLD_EVERY = 1000  # records
OTHER_SPLIT = "records of the test files that say another split than test"

Read = list[tuple[Entry, str]]
"""Each with the side that its record says, or "" where it says none."""


@dataclass(kw_only=True)
class DialogueReader:
    """How records become dialogues, texts or preferences, and what came of it."""

    format: str | None = None
    on_bad_record: str = "stop"
    encoding: str = "utf-8"
    progress: Callable[[int], None] = lambda n_records: None
    log: ReadingLog = field(default_factory=ReadingLog)
    chosen: dict[str, Chosen] = field(default_factory=dict)
    """The format of each source, and its fields."""
    n_records: int = 0

    def read(self, sources: Sequence[str]) -> Read:
        """Return what the records of some sources say, in their order.

        Raises `UsageError` for a source that is not there, and `DataError` for one that cannot be
        read, is of no known format, or goes with no other, and for records that cannot be used.
        """
        named = once_each(sources, self.log)
        return [entry for source in named for entry in self._source(source)]

    def read_test(self, sources: Sequence[str]) -> list[Entry]:
        """Return the same to test on, without what its records say to be of another split."""
        tests = []
        for entry, side in self.read(sources):
            if side in ("", "test"):
                tests.append(entry)
            else:
                self.log.skip(OTHER_SPLIT, entry.where)
        if sources and not tests:
            raise DataError(
                f"{shown(' '.join(sources), 200)}: to test on, but the field '{SPLIT}' of no "
                "record is test; expected some; mend it, or name another file"
            )
        return tests

    def _source(self, source: str) -> Read:
        reading = Reading(
            on_bad_record=self.on_bad_record, header=HEADERS[INSTRUCT], or_choose="", log=self.log
        )
        return self.entries(source, source_records(source, reading, self.encoding, INSTRUCT))

    def entries(self, source: str, records: Records) -> Read:
        """Return what records say; `source` is what they are called together."""
        survey = Survey()
        records = ((where, plainly_named(record)) for where, record in records)
        held = survey.add_until(records)
        if not held:
            raise DataError(f"{source}: no records; expected some, such as prompt and completion")
        refuse_broken(held, self.on_bad_record)
        chosen = choose_format(held, survey, source, self.format)
        self._check_goes_with_others(source, chosen)
        self.chosen[source] = chosen
        return self._entries(source, itertools.chain(held, records), chosen)

    def _check_goes_with_others(self, source: str, chosen: Chosen) -> None:
        is_preference = chosen.format == PREFERENCE
        for other, before in self.chosen.items():
            if (before.format == PREFERENCE) != is_preference:
                raise DataError(
                    f"{source}: {chosen.format}, but {other}: {before.format}; preferences are "
                    "learnt by themselves; give only them, or none"
                )

    def _entries(self, source: str, records: Records, chosen: Chosen) -> Read:
        found: Read = []
        bad: list[DataError] = []
        n_records = 0
        for where, record in records:
            n_records += 1
            self.n_records += 1
            if self.n_records % TOLD_EVERY == 0:
                self.progress(self.n_records)
            try:
                side = _side(record, where) if chosen.says_split else ""
                found.append((entry_of(record, chosen, where, self.log), side))
            except DataError as error:
                bad = bad or [error]
                kind = error.kind if isinstance(error, RecordError) else "records that are broken"
                self.log.skip(kind, where)
        self._check_used(source, bad, len(found), n_records)
        self.log.read(source, str(chosen), len(found), n_records)
        return found

    def _check_used(self, source: str, bad: list[DataError], n_used: int, n_records: int) -> None:
        """Raise what is wrong with the first record that is, unless such are to be left out."""
        n_bad = n_records - n_used
        if bad and self.on_bad_record == "stop":
            of = f" ({n_bad:,} of {n_records:,} records cannot be used)" if n_bad > 1 else ""
            error = DataError(f"{bad[0]}{of}")
            raise (or_skip(error) if n_used else error) from bad[0]
        if not n_used:
            raise DataError(
                f"{source}: none of {n_records:,} records can be used (first: {bad[0]}); mend "
                "them, or choose another format"
            )


def _side(record: Any, where: str) -> str:
    if isinstance(record, DataError):  # raised where it is read
        return ""
    said = record.get(SPLIT) if isinstance(record, dict) else None
    if isinstance(said, str) and said in SIDES:
        return SIDES[said]
    said_so = shown(said, 40) if isinstance(said, str) and said else "missing"
    raise RecordError(
        where,
        f"the field '{SPLIT}' is {said_so}; expected train, val or test, as in others",
        "records that do not say their split",
        "fill it in, or remove it",
    )
