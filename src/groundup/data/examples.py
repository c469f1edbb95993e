"""From records to labelled examples: what each says in its fields, and what is refused or left out.

A record without a text, a label or (where one is asked for) a group can teach nothing. All such are
counted, and refused together, or left out where `on_bad_record` is "skip".
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from groundup.base.errors import DataError
from groundup.base.words import counted
from groundup.data.duplicates import same_text
from groundup.data.label_fields import Chosen, Fields, choose_fields
from groundup.data.labels import Labels
from groundup.data.reading_log import ReadingLog
from groundup.data.record_sets import CLASSIFY, HEADERS, LabelledSet
from groundup.data.record_sources import (
    has_types,
    named_set,
    once_each,
    or_skip,
    refuse_broken,
    source_records,
)
from groundup.data.text_fields import Records, Survey, look_up
from groundup.data.texts import Reading, text_of

TOLD_EVERY = 1000  # records


@dataclass(frozen=True)
class Example:
    """A text with its label, the group it belongs to, and where it stands ("a.csv, record 3")."""

    text: str
    label: str
    group: str | None
    where: str

    @cached_property
    def normalised(self) -> bytes:
        """The SHA-256 of the text in which case and white space make no difference."""
        return hashlib.sha256(same_text(self.text).encode()).digest()

    @property
    def judgement(self) -> str:
        """What is said of the text."""
        return self.label


@dataclass(kw_only=True)
class ExampleReader:
    """How records become examples, and what came of it."""

    fields: Fields
    on_bad_record: str = "stop"
    encoding: str = "utf-8"
    progress: Callable[[int], None] = lambda n_records: None
    log: ReadingLog = field(default_factory=ReadingLog)
    labels: Labels = field(default_factory=Labels)
    chosen: dict[str, Chosen] = field(default_factory=dict)
    """The fields of each source."""
    n_records: int = 0

    def read(self, sources: Sequence[str]) -> list[Example]:
        """Return the examples of some sources, in their order.

        Raises `UsageError` for a source that is not there, and `DataError` for one that cannot be
        read or has no examples, for fields that are not clear, and for records that cannot be used.
        """
        named = once_each(sources, self.log)
        read = [example for source in named for example in self._source(source)]
        self.labels.check()
        return read

    def _source(self, source: str) -> Iterator[Example]:
        fields, known = self.fields, named_set(source)
        if isinstance(known, LabelledSet) and fields.group is None:
            fields = Fields(text=fields.text, label=fields.label, group=known.group_field)
        fields = Fields(text=fields.text, label=fields.label, group=fields.group or None)
        reading = Reading(
            text_field=fields.text,
            on_bad_record=self.on_bad_record,
            header=HEADERS[CLASSIFY],
            log=self.log,
        )
        records = source_records(source, reading, self.encoding)
        survey = Survey()
        held = survey.add_until(records)
        if not held:
            raise DataError(f"{source}: no records; expected some, each with a text and a label")
        refuse_broken(held, self.on_bad_record)
        chosen = choose_fields(survey, source, fields)
        self.chosen[source] = chosen
        yield from self._examples(source, itertools.chain(held, records), chosen)

    def _examples(self, source: str, records: Records, chosen: Chosen) -> Iterator[Example]:
        typed, lacking = has_types(source), _Lacking(chosen)
        n_records = n_examples = 0
        for where, record in records:
            n_records += 1
            self.n_records += 1
            if self.n_records % TOLD_EVERY == 0:
                self.progress(self.n_records)
            try:
                example = self._example(record, where, chosen, typed)
            except DataError as error:
                if self.on_bad_record == "stop":
                    raise or_skip(error) from error
                self.log.skip("records that cannot be used", where)
                continue
            if isinstance(example, str):
                lacking.add(example, where)
                self.log.skip(f"records without a {example}", where)
                continue
            n_examples += 1
            yield example
        if self.on_bad_record == "stop":
            lacking.refuse(source, n_records)
        if not n_examples:
            why = ", ".join(f"{n:,} {what}" for what, n in self.log.skipped.items())
            raise DataError(
                f"{source}: none of {n_records:,} records can be used ({why}); mend them, or "
                "choose other fields"
            )
        self.log.read(source, str(chosen), n_examples, n_records)

    def _example(self, record: object, where: str, chosen: Chosen, typed: bool) -> Example | str:
        """Return the example in a record, or which part of it is missing."""
        text = text_of(record, chosen.text, where)
        if isinstance(record, str):
            raise DataError(f"{where}: expected a record with fields, but found a string; mend it")
        if text is None or not text.strip():
            return "text"
        assert isinstance(record, dict)  # as `text_of` refuses anything else
        label = self.labels.read(look_up(record, chosen.label), where, typed=typed)
        if label is None:
            return "label"
        if chosen.group is None:
            return Example(text, label, None, where)
        value = look_up(record, chosen.group)
        group = "" if value is None or value != value else str(value).strip()  # NaN differs
        return Example(text, label, group, where) if group else "group"


class _Lacking:
    """Counts records of a source without a text, a label or a group, and refuses them together."""

    def __init__(self, chosen: Chosen) -> None:
        self._fields = {"text": chosen.text, "label": chosen.label, "group": chosen.group}
        self._found: dict[str, list[str]] = {}

    def add(self, part: str, where: str) -> None:
        """Count one more record that lacks `part`, found at `where`."""
        self._found.setdefault(part, []).append(where)

    def refuse(self, source: str, n_records: int) -> None:
        """Raise `DataError` if there was any."""
        if not self._found:
            return
        parts = [
            f"{len(places):,} without a {part} in the field '{self._fields[part]}' "
            f"(first: {places[0].removeprefix(f'{source}, ')})"
            for part, places in self._found.items()
        ]
        teach = ": an empty text teaches nothing" if "text" in self._found else ""
        raise DataError(
            f"{source}: of {counted(n_records, 'record')}, {', '.join(parts)}{teach}; fill them "
            "in, choose other fields, or leave such records out with --on-bad-record skip"
        )
