"""How labelled examples are divided: shares, repeatability, groups that stay together."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from groundup.base.errors import DataError
from groundup.data.examples import Example
from groundup.data.stratified import HELD_OUT, spelling_notices, split_by_group, split_by_text
from tests.data.labelling import examples


def some(n: int, rare: int = 10) -> list[Example]:
    """Return n examples, every `rare`-th of a rare class."""
    return examples(*((f"text {k}", "rare" if k % rare == 0 else "often") for k in range(n)))


def grouped(sizes: list[int], seed: int = 1) -> list[Example]:
    """Return examples in groups of these sizes, of two classes at random."""
    draw = random.Random(seed)
    return examples(
        *(
            (f"text {g} {k}", draw.choice("xy"), f"group {g}")
            for g, size in enumerate(sizes)
            for k in range(size)
        )
    )


class TestByText:
    @pytest.mark.parametrize(
        ("n", "expected"), [(3, 1), (14, 1), (15, 2), (24, 2), (25, 3), (1000, 100)]
    )
    def test_a_tenth_of_each_class_and_at_least_one(self, n: int, expected: int) -> None:
        given = examples(*((f"{label} {k}", label) for k in range(n) for label in "xy"))
        counts = Counter(
            (e.label, split)
            for e, split in zip(given, split_by_text(given, 1, HELD_OUT), strict=True)
        )
        for label in "xy":
            assert counts[label, "val"] == counts[label, "test"] == expected
            assert counts[label, "train"] == n - 2 * expected > 0

    def test_the_order_of_the_file_changes_nothing(self) -> None:
        given = some(200)
        split = dict(zip(given, split_by_text(given, 1, HELD_OUT), strict=True))
        mixed = random.Random(0).sample(given, len(given))
        assert dict(zip(mixed, split_by_text(mixed, 1, HELD_OUT), strict=True)) == split

    def test_seeds_divide_differently(self) -> None:
        given = some(200)
        assert split_by_text(given, 1, HELD_OUT) != split_by_text(given, 2, HELD_OUT)

    def test_with_a_test_file_two_examples_will_do(self) -> None:
        given = examples(("a", "x"), ("b", "x"), ("c", "y"), ("d", "y"))
        assert sorted(split_by_text(given, 1, ("val",))) == ["train", "train", "val", "val"]


class TestByGroup:
    def test_a_group_is_on_one_side(self) -> None:
        given = grouped([random.Random(k).randint(1, 60) for k in range(60)])
        splits = split_by_group(given, 1, HELD_OUT)
        sides = {(e.group, split) for e, split in zip(given, splits, strict=True)}
        assert len(sides) == 60
        for label in "xy":
            of = Counter(s for e, s in zip(given, splits, strict=True) if e.label == label)
            assert abs(of["test"] / of.total() - 0.1) < 0.02
            assert abs(of["val"] / of.total() - 0.1) < 0.02

    def test_a_group_of_most_examples_trains(self) -> None:
        given = grouped([500, *[20] * 12])
        splits = split_by_group(given, 1, HELD_OUT)
        assert {s for e, s in zip(given, splits, strict=True) if e.group == "group 0"} == {"train"}
        assert set(splits) == {"train", *HELD_OUT}

    def test_three_groups_are_one_a_split(self) -> None:
        splits = split_by_group(grouped([30, 30, 30]), 1, HELD_OUT)
        assert Counter(splits) == {"train": 30, "val": 30, "test": 30}

    def test_order_and_seed(self) -> None:
        given = grouped([20] * 30)
        first = dict(zip(given, split_by_group(given, 1, HELD_OUT), strict=True))
        mixed = random.Random(0).sample(given, len(given))
        assert dict(zip(mixed, split_by_group(mixed, 1, HELD_OUT), strict=True)) == first
        assert split_by_group(given, 2, HELD_OUT) != list(first.values())

    def test_groups_of_one_class_each(self) -> None:
        given = examples(*((f"{g} {k}", "xy"[g % 2], f"{g}") for g in range(6) for k in range(9)))
        splits = zip(given, split_by_group(given, 1, HELD_OUT), strict=True)
        counts = Counter((e.label, split) for e, split in splits)
        assert counts == {(label, s): 9 for label in "xy" for s in ("train", *HELD_OUT)}

    def test_what_no_order_can_do_is_refused(self) -> None:
        # Seven classes, three groups of each and three in each: three groups cover seven classes
        # at most, so that three splits would take nine groups (the lines of the Fano plane).
        lines = ("123", "145", "167", "246", "257", "347", "356")
        given = examples(*((f"{line} {c}", c, line) for line in lines for c in line))
        with pytest.raises(DataError, match="7 groups of 21 examples: no way was found to give"):
            split_by_group(given, 1, HELD_OUT)


def test_labels_that_are_written_differently_are_named_with_their_records() -> None:
    given = examples(*((f"text {n}", label) for n, label in enumerate(["spam", "Spam", "ham"] * 2)))
    assert spelling_notices(given) == [
        f"'Spam' ({given[1].where}) and 'spam' ({given[0].where}) differ only in how they are "
        "written, and are different classes"
    ]
