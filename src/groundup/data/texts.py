"""From records to texts: what each says in its field, and what is passed over."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from groundup.base.errors import DataError, UsageError, shown
from groundup.data.reading_log import ReadingLog
from groundup.data.streams import plain_newlines
from groundup.data.text_fields import Records, Survey, choose_field, decoded, look_up

Texts = Iterator[tuple[str, str]]

ON_BAD_RECORD = ("stop", "skip")


def check_on_bad_record(given: str) -> None:
    """Raise `UsageError` for what may not be done with a bad record."""
    if given not in ON_BAD_RECORD:
        raise UsageError(f"on_bad_record = {shown(given)}: expected {' or '.join(ON_BAD_RECORD)}")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How files of records are to be read, and the log of how they were."""

    text_field: str | None = None
    on_bad_record: str = "stop"  # or "skip"
    header: str = "text"  # what the first row of a table may be, where it has none
    or_choose: str = ", or choose with --text-field"  # what else helps there
    log: ReadingLog = field(default_factory=ReadingLog)


def chosen_texts(records: Records, name: str, reading: Reading) -> Texts:
    """Yield where each record stands, and its text, of the field that the first of them decide."""
    survey = Survey()
    held = survey.add_until(records, reading.text_field or "text")
    field = choose_field(survey, name, reading.text_field)
    return texts_of(itertools.chain(held, records), name, field, reading)


def texts_of(records: Records, name: str, field: str, reading: Reading) -> Texts:
    """Yield where each record stands, and its text: itself if a string, else its `field`.

    A record without a text (null, blank, or without the field) is passed over, counted and
    reported. A broken record, or one with something else for a text, is a `DataError`, or is passed
    over, too. So is a file where more than half is passed over, unless "skip" takes what is there.
    """
    n_records, n_texts, has_fields, first = 0, 0, False, ""
    stops = reading.on_bad_record == "stop"
    for label, record in records:
        n_records += 1
        has_fields = has_fields or isinstance(record, dict)
        try:
            text = text_of(record, field, label)
        except DataError as error:
            if stops:
                raise DataError(
                    f"{error}, or skip such records with --on-bad-record skip"
                ) from error
            reading.log.skip("records that cannot be used", label)
            continue
        if text is None or text.isspace() or not text:
            first = first or label
            reading.log.skip("records without a text", label)
            continue
        n_texts += 1
        yield label, text
    what = f"a text in the field '{field}'" if has_fields else "a text"
    if n_records and not n_texts:
        raise DataError(f"{name}: none of {n_records:,} records has {what}; mend or leave it out")
    if stops and 2 * n_texts < n_records:
        raise DataError(
            f"{name}: only {n_texts:,} of {n_records:,} records have {what} (not {first}, for "
            "one); choose another with --text-field, or take what is there with --on-bad-record "
            "skip"
        )
    if has_fields:
        reading.log.read(name, f"the text is the field '{field}'", n_texts, n_records)


def text_of(record: Any, field: str, label: str) -> str | None:
    """Return the text of a record, or None if it has none; something else is a `DataError`."""
    if isinstance(record, str):
        return clean(record, label)
    if isinstance(record, DataError):
        raise record
    if record is None:
        return None
    if not isinstance(record, dict):
        kind = type(record).__name__
        raise DataError(
            f"{label}: expected a record or a string, but found a value ({kind}); mend or remove it"
        )
    value = look_up(record, field)
    text = decoded(value) if isinstance(value, bytes) else value
    if isinstance(text, str):
        return clean(text, label)
    if value is None:
        return None
    kind = "bytes that are not UTF-8" if isinstance(value, bytes) else type(value).__name__
    raise DataError(
        f"{label}: expected a string in the field '{field}', but found {kind}; mend or remove it"
    )


def clean(text: str, label: str) -> str:
    """Return a record's text with plain newlines; a NUL or half a surrogate is a `DataError`."""
    if "\0" in text:
        raise DataError(
            f"{label}: a NUL at character {text.index(chr(0))}; expected text; mend or remove it"
        )
    try:
        if not text.isascii():
            text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"{label}: half of a surrogate pair (\\u{ord(text[error.start]):04x}) at character "
            f"{error.start}, which no text can hold; mend or remove it"
        ) from error
    return plain_newlines(text)
