"""The words of others lead to verbs, flags and arguments that are there."""

from __future__ import annotations

import re

from groundup.base.errors import plain
from groundup.cli.suggestions import ABSENT, ARGUMENTS, FLAGS, VERBS
from tests.test_docs import verbs


def test_every_answer_is_there() -> None:
    known = verbs()
    flags = set[str]().union(*known.values())
    assert set(FLAGS) <= flags
    assert set(ARGUMENTS) <= flags  # an argument stands among them under its own name
    for answer in " groundup ".join(VERBS).replace("'", "").split(" groundup "):
        plain_words = re.sub(r"--\S+( \S+)?", "", answer.removesuffix(" or"))
        words = tuple(word for word in plain_words.split() if word.islower())
        assert words in known, answer


def test_no_word_of_others_is_one_of_ours() -> None:
    ours = {plain(words[0]) for words in verbs() if words} - {"data"}
    for table in (VERBS, ABSENT):
        assert not {plain(word) for words in table.values() for word in words.split()} & ours
