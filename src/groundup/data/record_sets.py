"""Labelled records to begin with, known by name, each made of a named text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from groundup.data.corpora import CORPORA, Corpus, corpus_files
from groundup.data.text_fields import Records

OLD_TESTAMENT = 39
"""Books of it in the King James Bible without the Apocrypha; the 27 after them are the New."""
CHAPTER = re.compile(r"(?:Chapter|Psalm) (\d+)")


@dataclass(frozen=True, kw_only=True)
class RecordSet:
    """Named records: what they are, how many, and the text of which they are made.

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


RECORD_SETS = {
    one.name: one
    for one in (
        RecordSet(
            name="testaments",
            title="Verses of the King James Bible: old or new testament",
            examples=31_102,
            labels={"old": 23_145, "new": 7_957},
            group_field="book",
            groups=66,
            corpus=CORPORA["kjv"],
            extract=verses_of_kjv,
        ),
    )
}
