"""Texts that stand several times among labelled examples: before they are divided, one is kept.

Texts are the same where they differ by case, white space or Unicode form only
(`Example.normalised`). With different labels, nobody knows which one is right.
"""

from __future__ import annotations

from collections.abc import Sequence

from groundup.data.examples import Example
from groundup.data.reading_log import ReadingLog

REPEATED = "repeated texts (the first stays)"
CONFLICTING = "texts with different labels (all of them)"
IN_TEST = "training texts that are in the test records"
GROUP_IN_TEST = "training examples whose group is in the test records"


def without_repeated(examples: Sequence[Example], log: ReadingLog) -> list[Example]:
    """Return the first example of each text, and none of a text with different labels."""
    labels: dict[bytes, set[str]] = {}
    for example in examples:
        labels.setdefault(example.normalised, set()).add(example.label)
    kept, seen = [], set[bytes]()
    for example in examples:
        text = example.normalised
        if len(labels[text]) > 1:
            log.skip(CONFLICTING, example.where)
        elif text in seen:
            log.skip(REPEATED, example.where)
        else:
            seen.add(text)
            kept.append(example)
    return kept


def without_those_of(
    test: Sequence[Example], examples: Sequence[Example], log: ReadingLog
) -> list[Example]:
    """Return the examples to train on whose text and group are not among the test examples."""
    texts = {example.normalised for example in test}
    groups = {example.group for example in test} - {None}
    kept = []
    for example in examples:
        if example.normalised in texts:
            log.skip(IN_TEST, example.where)
        elif example.group in groups:
            log.skip(GROUP_IN_TEST, example.where)
        else:
            kept.append(example)
    return kept
