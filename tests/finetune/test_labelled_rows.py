"""Rows of labelled texts: each once a pass, a pure function, with little padding."""

from __future__ import annotations

import numpy as np
import pytest

from groundup import ByteTokenizer
from groundup.base.errors import DataError, UsageError
from groundup.data.examples import Example
from groundup.finetune.classifier.rows import (
    LabelledRows,
    LabelledVectors,
    Rows,
    class_weights,
    labelled_rows,
)


def rows(n: int = 1000) -> Rows:
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.geometric(0.03, n), 1, 300)
    return Rows([np.full(m, m, np.int64) for m in lengths], rng.integers(2, size=n))


def source(
    batch_size: int = 8, seed: int = 1, n: int = 1000, accumulation: int = 1
) -> LabelledRows:
    return LabelledRows(rows(n), np.ones(2, np.float32), batch_size, seed, accumulation)


@pytest.mark.parametrize(
    ("n", "batch_size"), [(1, 1), (1, 8), (7, 8), (64, 8), (1000, 8), (1001, 16)]
)
def test_a_pass_has_every_row_once_and_another_pass_another_order(n: int, batch_size: int) -> None:
    texts = source(batch_size, n=n)
    passes = [texts.order.rows(k * n, n).tolist() for k in range(3)]
    assert all(sorted(one) == list(range(n)) for one in passes)
    assert n < 64 or len({tuple(one) for one in passes}) == 3


def test_rows_are_a_pure_function_of_their_numbers() -> None:
    texts, again = source(), source()
    again.rows(5000, 3)
    for first, n in [(0, 8), (996, 8), (12345, 5)]:
        one, other = texts.rows(first, n), again.rows(first, n)
        assert all(np.array_equal(one.arrays[k], other.arrays[k]) for k in one.arrays)
        assert one.n_tokens == one.arrays["lengths"].sum()
    assert not np.array_equal(source(seed=2).order.rows(0, 50), texts.order.rows(0, 50))


@pytest.mark.parametrize("n", [1000, 1003, 1015, 17, 33])
@pytest.mark.parametrize("accumulation", [1, 2, 5])
def test_what_takes_most_memory_comes_in_the_first_two_steps(n: int, accumulation: int) -> None:
    texts = source(16, n=n, accumulation=accumulation)
    lengths = texts.texts.lengths
    batches = np.split(texts.order.rows(0, n), range(16, n, 16))
    longest = [int(lengths[batch].max()) for batch in batches]
    assert longest[0] == lengths.max(), "what does not fit fails in the first step"
    if n // 16 >= 2 * accumulation:  # two whole steps: the second has all that a step finds
        assert longest[2 * accumulation - 1] == max(longest[accumulation:-1])
    steps = [max(longest[k : k + accumulation]) for k in range(0, len(longest), accumulation)]
    assert len(steps) < 9 or steps[2:] not in (sorted(steps[2:]), sorted(steps[2:])[::-1])


@pytest.mark.parametrize("n", [1000, 1015, 33, 10])
def test_a_step_learns_from_the_same_texts_however_it_is_divided(n: int) -> None:
    vectors = np.zeros((n, 2), np.float32)
    whole = source(16, n=n).order
    for size in (8, 4, 1):
        how = np.ones(2, np.float32), size, 1, 16 // size
        for texts in (LabelledRows(rows(n), *how), LabelledVectors(rows(n), vectors, *how)):
            for step in (*range(4), 70):
                expected = sorted(whole.rows(16 * step, 16).tolist())
                assert sorted(texts.order.rows(16 * step, 16).tolist()) == expected


def test_other_passes_begin_with_any_batch() -> None:
    firsts = set()
    for seed in range(10):
        texts = source(8, seed, 400)
        firsts.add(int(texts.texts.lengths[texts.order.rows(400, 8)].max()))
    assert len(firsts) > 5


def test_sorting_leaves_little_padding() -> None:
    texts = source(16)
    order = np.random.default_rng(1).permutation(1000)
    lengths = texts.texts.lengths[order]
    parts = np.split(lengths, range(16, 1000, 16))
    shuffled = 1 - lengths.sum() / sum(part.max() * len(part) for part in parts)
    assert shuffled > 0.5  # the texts are of very different lengths
    assert texts.order.padding_share(1000) < 0.1


@pytest.mark.parametrize("n", [1000, 1003, 1015])
@pytest.mark.parametrize("accumulation", [1, 3])
def test_all_passes_have_little_padding_though_none_ends_with_a_batch(
    n: int, accumulation: int
) -> None:
    texts = source(16, n=n, accumulation=accumulation)
    batches = [texts.rows(first, 16) for first in range(0, 160 * 60, 16)]
    computed = sum(batch.arrays["tokens"].size for batch in batches)
    share = 1 - sum(batch.n_tokens for batch in batches) / computed
    assert share == pytest.approx(texts.order.padding_share(160 * 60))
    assert share < 0.13  # and a third where batches of two passes run into each other


def test_texts_are_cut_at_their_ends_and_counted() -> None:
    examples = [Example("abcdef", "x", None, "1"), Example("ab", "y", None, "2")]
    found = labelled_rows(examples, ("x", "y"), ByteTokenizer(), 4, start=7)
    assert [row.tolist() for row in found.ids] == [[7, 97, 98, 99], [7, 97, 98]]
    assert (found.n_cut, found.n_lost) == (1, 3)
    assert found.labels.tolist() == [0, 1]


def test_a_length_that_leaves_nothing_of_the_texts_is_refused() -> None:
    with pytest.raises(UsageError, match=r"max_length = 1: .* give 2 or more"):
        labelled_rows([Example("ab", "x", None, "1")], ("x", "y"), ByteTokenizer(), 1, start=7)


def test_a_text_that_the_tokenizer_cannot_read_is_named() -> None:
    from groundup import CharTokenizer

    examples = [
        Example("ab", "x", None, "a.csv, line 2"),
        Example("aé", "y", None, "a.csv, line 3"),
    ]
    with pytest.raises(DataError, match=r"a\.csv, line 3: "):
        labelled_rows(examples, ("x", "y"), CharTokenizer.train(["abc"]), 4)


def test_class_weights_count_classes_alike_and_are_1_in_the_mean() -> None:
    labels = np.array([0] * 90 + [1] * 9 + [2])
    weights = class_weights(labels, 3, "weights")
    assert np.isclose(weights[labels].mean(), 1)
    assert np.allclose([weights[labels][labels == k].sum() for k in range(3)], 100 / 3)
    assert class_weights(labels, 3, "none").tolist() == [1, 1, 1]
