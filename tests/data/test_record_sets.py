"""The named labelled records, from the real text (cached after the first run)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from groundup.base.errors import UsageError
from groundup.data.corpora import CORPORA, corpus_files
from groundup.data.dialogues import prepare_dialogues
from groundup.data.folders import source_files
from groundup.data.labelled import prepare_labelled
from groundup.data.record_sets import (
    CLASSIFY,
    INSTRUCT,
    RECORD_SETS,
    DialogueSet,
    LabelledSet,
    verses_of_kjv,
)
from groundup.data.record_sources import check_record_sources
from groundup.data.stratified import SPLITS

fetched = pytest.mark.network


LABELLED = [name for name, one in RECORD_SETS.items() if isinstance(one, LabelledSet)]
DIALOGUES = [name for name, one in RECORD_SETS.items() if isinstance(one, DialogueSet)]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=fetched if n == "chitchat" else ()) for n in DIALOGUES]
)
def test_what_is_listed_of_dialogues_is_honest(name: str) -> None:
    known = RECORD_SETS[name]
    assert isinstance(known, DialogueSet)
    records = [record for _, record in known.records()]
    assert len(records) == known.examples
    assert Counter(record["split"] for record in records) == known.splits
    kinds = tuple(dict.fromkeys(record["kind"] for record in records if "kind" in record))
    assert kinds == known.kinds
    for record in records:
        said = [one["content"] for one in record.get("messages", ())]
        said = said or [record["prompt"], record["completion"]]
        assert len(said) > 1
        assert all(text.strip() for text in said)


@fetched
def test_small_talk_is_read_without_a_bad_record(tmp_path: Path) -> None:
    data = prepare_dialogues(["chitchat"], tmp_path)
    assert [data.counts(s)["dialogues"] for s in SPLITS] == [3263, 363, 368]
    assert [line.partition(" (")[0] for line in data.notices] == [
        "chitchat: read as messages",
        "skipped last messages of the user that no reply follows",
        "skipped repeated records",
    ]


@fetched
def test_the_text_of_small_talk_has_none_of_its_test() -> None:
    text = {path.read_text(encoding="utf-8") for path in corpus_files("chitchat").glob("*.txt")}
    records = [record for _, record in RECORD_SETS["chitchat"].records()]
    for record in records:
        lines = "".join(f"{one['content']}\n" for one in record["messages"])
        assert (lines in text) == (record["split"] == "train")


@fetched
@pytest.mark.parametrize("name", LABELLED)
def test_what_is_listed_is_honest(name: str) -> None:
    known = RECORD_SETS[name]
    assert isinstance(known, LabelledSet)
    records = [record for _, record in known.records()]
    assert len(records) == known.examples
    assert Counter(record["label"] for record in records) == known.labels
    assert len({record[known.group_field] for record in records}) == known.groups
    assert all(record["text"].strip() for record in records)


@fetched
def test_every_verse_has_its_place() -> None:
    verses = dict(RECORD_SETS["testaments"].records())
    assert len(verses) == 31_102
    assert verses["kjv, Genesis 1:1"] == {
        "text": "In the beginning God created the heaven and the earth.",
        "label": "old",
        "book": "Genesis",
    }
    assert verses["kjv, Psalms 23:1"]["text"].endswith("The LORD is my shepherd; I shall not want.")
    assert verses["kjv, Malachi 4:6"]["label"] == "old"
    assert verses["kjv, Matthew 1:1"]["label"] == "new"
    assert verses["kjv, John 11:35"]["text"] == "Jesus wept."
    assert verses["kjv, Revelation 22:21"]["book"] == "Revelation"


def test_headings_are_no_verses(tmp_path: Path) -> None:
    first = "A\n\nChapter 1\n\nOne.\nTwo.\n\nChapter 2\n\nChapter by chapter.\n"
    (tmp_path / "01-a.txt").write_text(first)
    (tmp_path / "02-b.txt").write_text("B\n\nPsalm 1\n\nThree.\n")
    assert [(where, record["text"]) for where, record in verses_of_kjv(tmp_path)] == [
        ("kjv, A 1:1", "One."),
        ("kjv, A 1:2", "Two."),
        ("kjv, A 2:1", "Chapter by chapter."),
        ("kjv, B 1:1", "Three."),
    ]


def test_names_of_texts_and_records_differ() -> None:
    """But for those that are both, of which what reads them decides: a text, or records."""
    assert RECORD_SETS.keys() & CORPORA.keys() == {"tasks", "chitchat"}
    with pytest.raises(UsageError, match="testaments: records with labels, not a text"):
        source_files("testaments")


def test_records_for_another_job_are_refused() -> None:
    check_record_sources(["testaments"], job=CLASSIFY)
    check_record_sources(["tasks"], job=INSTRUCT)
    with pytest.raises(UsageError) as of_tasks:
        check_record_sources(["tasks"], job=CLASSIFY)
    assert str(of_tasks.value) == (
        "tasks: dialogues, as 'groundup finetune instruct' learns from; expected records with "
        "labels; name a file of them, or one of: testaments"
    )
    with pytest.raises(UsageError) as of_testaments:
        check_record_sources(["testaments"], job=INSTRUCT)
    assert str(of_testaments.value) == (
        "testaments: records with labels, as 'groundup finetune classify' learns from; expected "
        "dialogues; name a file of them, or one of: tasks, chitchat"
    )
    with pytest.raises(UsageError, match="tasks: dialogues"):
        prepare_labelled(["testaments", "tasks"], "data")


def test_only_names_for_the_job_are_offered() -> None:
    with pytest.raises(UsageError, match=r"one of: testaments$"):
        check_record_sources([])
    with pytest.raises(UsageError, match=r"one of: tasks, chitchat$"):
        check_record_sources([], job=INSTRUCT)
    with pytest.raises(
        UsageError, match="kjv: a text, not dialogues; named records are: tasks, chitchat"
    ):
        check_record_sources(["kjv"], job=INSTRUCT)
    with pytest.raises(UsageError, match="did you mean 'tasks'"):
        check_record_sources(["task"], job=INSTRUCT)
