"""Which labelled example trains, which validates and which tests: each split with every class.

A tenth of each class is held out for each of "test" and "val", and at least one example. Hashes of
the seed and the text decide, so that a text keeps its side whatever the order of the file. Where
examples have groups, a group stays together: in an order of the groups by hash, the first groups
test until they are a tenth of all examples and have every class, the next ones validate likewise.
Of many such orders, the one is taken that comes nearest to a tenth of each class.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from groundup.base.errors import DataError, shown
from groundup.base.words import counted
from groundup.data.examples import Example
from groundup.data.labels import in_order, nearly_equal

HELD_OUT = ("test", "val")
SPLITS = ("train", "val", "test")
MOST_ORDERS, FEWEST_ORDERS = 1000, 20
MOST_HASHES = 200_000
"""Orders of the groups that are compared: as many as take about so many hashes."""


def split_by_text(examples: Sequence[Example], seed: int, held_out: Sequence[str]) -> list[str]:
    """Return the split of each example, dividing each class by itself.

    `held_out` are the splits beside "train" to be filled. Raises `DataError` for a class with too
    few examples.
    """
    check_classes(examples, 1 + len(held_out), "examples", Counter(e.label for e in examples))
    members: dict[str, list[int]] = defaultdict(list)
    for number, example in enumerate(examples):
        members[example.label].append(number)
    splits = ["train"] * len(examples)
    for numbers in members.values():
        numbers.sort(key=lambda n: _hash(seed, examples[n].normalised))
        size = max(1, (len(numbers) + 5) // 10)
        for place, split in enumerate(held_out):
            for number in numbers[place * size : (place + 1) * size]:
                splits[number] = split
    return splits


def split_by_group(examples: Sequence[Example], seed: int, held_out: Sequence[str]) -> list[str]:
    """Return the split of each example, where those of one group are on one side.

    Raises `DataError` where a class is in too few groups, or no order of those tried gives every
    split every class.
    """
    pairs = {(example.label, example.group) for example in examples}
    check_classes(examples, 1 + len(held_out), "groups", Counter(label for label, _ in pairs))
    groups = sorted({str(example.group) for example in examples})
    side = _best_sides(groups, _counts(examples, groups), seed, held_out)
    if side is None:
        raise DataError(
            f"{counted(len(groups), 'group')} of {counted(len(examples), 'example')}: no way was "
            f"found to give every class to each of {', '.join(('train', *held_out))}; give more or "
            "smaller groups, or divide without --group-field"
        )
    return [side[str(example.group)] for example in examples]


def _counts(examples: Sequence[Example], groups: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return how many examples of each class each group has, (groups, classes)."""
    row = {group: number for number, group in enumerate(groups)}
    column = {label: n for n, label in enumerate(in_order(e.label for e in examples))}
    counts = np.zeros((len(row), len(column)), dtype=np.int64)
    for example in examples:
        counts[row[str(example.group)], column[example.label]] += 1
    return counts


def _best_sides(
    groups: Sequence[str], counts: npt.NDArray[np.int64], seed: int, held_out: Sequence[str]
) -> dict[str, str] | None:
    """Return the split of each group in the best of the orders tried, or None if none will do.

    The best has the least sum of squares of what each class of each held-out split is away from a
    tenth, as a share of that tenth.
    """
    tenth = counts.sum(axis=0) / 10  # (classes,)
    best, least = None, np.inf
    tries = min(MOST_ORDERS, max(FEWEST_ORDERS, MOST_HASHES // len(groups)))
    for attempt in range(tries):
        keys = [_hash(seed, f"{attempt} {group}".encode()) for group in groups]
        order = np.array(sorted(range(len(groups)), key=keys.__getitem__))
        ends = _ends(counts[order], len(held_out))
        parts = [part.sum(axis=0) for part in np.split(counts[order], ends)]  # each (classes,)
        if any((part == 0).any() for part in parts):
            continue
        away = sum(float((((part - tenth) / tenth) ** 2).sum()) for part in parts[:-1])
        if away < least:
            best, least = (order, ends), away
    if best is None:
        return None
    order, ends = best
    names = (*held_out, "train")
    sides = np.split(order, ends)
    return {groups[n]: names[s] for s, side in enumerate(sides) for n in side}


def _ends(counts: npt.NDArray[np.int64], n_splits: int) -> list[int]:
    """Return how many of the groups, in this order, fill one split after the other.

    A split is full as soon as it has a tenth of all examples, and every class.
    """
    classes = counts.cumsum(axis=0)  # (groups, classes)
    sizes = classes.sum(axis=1)
    ends = [0]
    for _ in range(n_splits):
        before = classes[ends[-1] - 1] if ends[-1] else np.zeros_like(classes[0])
        tenth = np.searchsorted(sizes, before.sum() + sizes[-1] / 10)
        every = (classes > before).argmax(axis=0)  # 0 where there is no more of a class
        ends.append(min(1 + max(int(tenth), int(every.max())), len(sizes)))
    return ends[1:]


def check_classes(
    examples: Sequence[Example], fewest: int, what: str, counts: Counter[str]
) -> None:
    """Raise `DataError` unless there are two classes, each with at least `fewest` of `what`."""
    labels = in_order(counts)
    if len(labels) < 2:
        raise DataError(
            f"all {counted(len(examples), 'example')} have the label '{shown(labels[0], 40)}'; "
            "a classifier needs two different ones; is --label-field the right one?"
        )
    rare = [label for label in labels if counts[label] < fewest]
    if not rare:
        return
    named = ", ".join(f"'{shown(label, 40)}' ({counts[label]})" for label in rare[:3])
    more = f", … ({len(rare):,} of {len(labels):,} classes)" if len(rare) > 3 else ""
    alike = [group for group in nearly_equal(labels) if set(group) & set(rare)]
    written = f"; are {_differently(alike[0])} one class?" if alike else ""
    ids = "; do the labels hold texts or ids?" if 2 * len(rare) > len(labels) > 3 else ""
    raise DataError(
        f"too few {what} of the class{'es' if len(rare) > 1 else ''} {named}{more}: expected "
        f"{fewest} at least, one for each split; add some, or leave the class out{written}{ids}"
    )


def _differently(labels: Iterable[str]) -> str:
    return " and ".join(f"'{shown(label, 40)}'" for label in labels)


def spelling_notices(examples: Sequence[Example]) -> list[str]:
    """Return a line for labels that differ only in how they are written, as by a slip."""
    first = {example.label: example.where for example in reversed(examples)}
    return [
        " and ".join(f"'{shown(label, 40)}' ({first[label]})" for label in group)
        + " differ only in how they are written, and are different classes"
        for group in nearly_equal(first)
    ]


def _hash(seed: int, key: bytes) -> bytes:
    return hashlib.sha256(f"{seed} ".encode() + key).digest()
