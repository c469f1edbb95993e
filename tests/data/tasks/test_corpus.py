"""The corpus `tasks`: many questions with answers, and nothing of the test."""

from __future__ import annotations

import hashlib
import re
from collections import Counter

import pytest

from groundup.data.corpora import CORPORA
from groundup.data.tasks import PER_KIND, TEST, TRAIN, make_tasks
from groundup.data.tasks.corpus import PER_KIND as EACH
from groundup.data.tasks.corpus import VERSION, documents
from groundup.data.tasks.kinds import KINDS
from tests.data.tasks.solutions import is_solved
from tests.data.tasks.test_generator import LISTED, words_of


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return dict(documents())


@pytest.fixture(scope="module")
def pairs(texts: dict[str, str]) -> list[list[str]]:
    """Return each question with its answer."""
    return [pair.split("\n") for text in texts.values() for pair in text.strip().split("\n\n")]


def test_it_is_as_large_as_listed(texts: dict[str, str], pairs: list[list[str]]) -> None:
    listed = CORPORA["tasks"]
    assert len(texts) == listed.documents
    assert sum(len(text.encode()) for text in texts.values()) == listed.size
    assert len(pairs) == 99_597
    assert 0.99 * EACH * len(KINDS) < len(pairs) < EACH * len(KINDS)
    assert {len(pair) for pair in pairs} == {2}


def test_it_is_the_same_everywhere(texts: dict[str, str]) -> None:
    """Another hash is another text, which needs another `VERSION`, and the size in `CORPORA`."""
    joined = "".join(name + text for name, text in texts.items())
    assert (VERSION, hashlib.sha256(joined.encode()).hexdigest()[:16]) == ("1", "12522cd322f065ff")


def test_nothing_of_the_test_and_no_named_record_is_in_it(pairs: list[list[str]]) -> None:
    test, train = (make_tasks(split, PER_KIND[split]) for split in (TEST, TRAIN))
    questions = {question for question, _ in pairs}
    assert len(questions) == len(pairs)
    assert not questions & {task.question for task in (*test, *train)}
    words = set(re.findall(r"\w+", "\n".join(questions).lower()))
    shared = words & words_of(test)
    assert not shared & LISTED
    assert not {word for word in shared if word.isdigit()}
    assert len(words & LISTED) > 700


def test_kinds_are_mixed_and_answers_are_right(pairs: list[list[str]]) -> None:
    solved = [
        next((kind for kind in KINDS if _solves(kind, question, answer)), "")
        for question, answer in pairs[:400]
    ]
    counts = Counter(solved)
    assert "" not in counts
    assert len(counts) >= 9
    assert solved[:10] != solved[10:20]


def _solves(kind: str, question: str, answer: str) -> bool:
    try:
        return is_solved(kind, question, answer)
    except (AssertionError, ValueError, IndexError, TypeError):  # not of this kind
        return False
