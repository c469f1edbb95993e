"""Texts that stand several times: what counts as the same, and which ones stay."""

from __future__ import annotations

import pytest

from groundup.data.duplicates import TEXTS, without_repeated, without_those_of
from groundup.data.reading_log import ReadingLog
from tests.data.labelling import examples


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Free prize!", "FREE  prize!\n", True),
        ("café", "cafe\u0301", True),
        ("Straße", "STRASSE", True),
        ("a\u00a0b", "a b", True),
        ("Free prize!", "Free prize", False),
        ("a b", "ab", False),
        ("ﬁne", "f ine", False),
    ],
)
def test_what_is_the_same_text(one: str, other: str, same: bool) -> None:
    first, second = examples((one, "x"), (other, "x"))
    assert (first.normalised == second.normalised) is same


def test_the_first_stays_and_conflicts_go() -> None:
    log = ReadingLog()
    given = examples(("A", "x"), ("b", "x"), ("a", "x"), ("c", "x"), ("C", "y"), ("c", "x"))
    assert without_repeated(given, log) == given[:2]
    assert log.left_out == {
        TEXTS.repeated: {"count": 1, "where": ["a.csv, record 3"]},
        TEXTS.conflicting: {"count": 3, "where": [f"a.csv, record {n}" for n in (4, 5, 6)]},
    }


def test_a_test_text_or_group_is_not_trained_on() -> None:
    log = ReadingLog()
    given = examples(("A", "x", "one"), ("b", "y", "two"), ("c", "x", "three"))
    test = examples(("a", "y", "four"), ("d", "y", "two"))
    assert without_those_of(test, given, log) == given[2:]
    assert log.skipped == {TEXTS.in_test: 1, TEXTS.group_in_test: 1}


def test_no_group_is_no_common_group() -> None:
    given = examples(("a", "x"), ("b", "y"))
    assert without_those_of(examples(("c", "x")), given, ReadingLog()) == given
