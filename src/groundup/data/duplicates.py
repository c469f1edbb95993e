"""Records that stand several times: before they are divided, one is kept.

Texts are the same where they differ by case, white space or Unicode form only (`same_text`). Where
two records that are the same are judged differently, nobody knows which judgement is right.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from groundup.data.reading_log import ReadingLog


class Comparable(Protocol):
    """A record that can be compared with others, and where it stands."""

    @property
    def where(self) -> str:
        """Where it stands ("a.csv, record 3")."""

    @property
    def normalised(self) -> bytes:
        """What is equal for records that are the same."""

    @property
    def judgement(self) -> str:
        """What is said of it, as a label is said of a text."""

    @property
    def group(self) -> str | None:
        """What it shares with others that must be on its side, or None."""


R = TypeVar("R", bound=Comparable)


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """What records that are left out are called."""

    repeated: str
    conflicting: str
    in_test: str
    group_in_test: str


TEXTS = LeftOut(
    repeated="repeated texts (the first stays)",
    conflicting="texts with different labels (all of them)",
    in_test="training texts that are in the test records",
    group_in_test="training examples whose group is in the test records",
)


def same_text(text: str) -> str:
    """Return a text in which case and white space make no difference.

    It is in Unicode's composed form (NFC), case folded, each run of white space one space.
    """
    folded = unicodedata.normalize("NFC", text).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split())


def without_repeated(records: Sequence[R], log: ReadingLog, words: LeftOut = TEXTS) -> list[R]:
    """Return the first of the records that are the same, and none that are judged differently."""
    judgements: dict[bytes, set[str]] = {}
    for record in records:
        judgements.setdefault(record.normalised, set()).add(record.judgement)
    kept, seen = [], set[bytes]()
    for record in records:
        key = record.normalised
        if len(judgements[key]) > 1:
            log.skip(words.conflicting, record.where)
        elif key in seen:
            log.skip(words.repeated, record.where)
        else:
            seen.add(key)
            kept.append(record)
    return kept


def without_those_of(
    test: Sequence[R], records: Sequence[R], log: ReadingLog, words: LeftOut = TEXTS
) -> list[R]:
    """Return the records to train on that are not among those to test on, nor is their group."""
    tested = {record.normalised for record in test}
    groups = {record.group for record in test} - {None}
    kept = []
    for record in records:
        if record.normalised in tested:
            log.skip(words.in_test, record.where)
        elif record.group in groups:
            log.skip(words.group_in_test, record.where)
        else:
            kept.append(record)
    return kept
