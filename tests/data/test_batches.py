import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.base.errors import DataError, UsageError
from groundup.data.batches import ORDERS, Batches, mix, permute
from groundup.data.tokens import TokenSplit

seeds = st.integers(0, 2**70)


def counting(n: int, shards: int = 1) -> TokenSplit:
    """Tokens that are their own positions, so that a window shows where it was taken."""
    return TokenSplit(np.array_split(np.arange(n, dtype=np.uint32), shards), n)


@st.composite
def batches(draw, order=None):
    context = draw(st.integers(1, 20))
    n_tokens = draw(st.integers(context + 1, 400))
    stride = draw(st.none() | st.integers(1, 30))
    order = order or draw(st.sampled_from(sorted(ORDERS)))
    split = counting(n_tokens, draw(st.integers(1, 5)))
    return Batches(split, context, draw(st.integers(1, 8)), draw(seeds), order, stride)


@given(batches(), st.integers(0, 2**40), st.integers(1, 40), st.data())
def test_samples_are_shifted_by_one_and_do_not_depend_on_how_they_are_asked_for(b, first, n, data):
    tokens, targets = b.samples(first, n)
    assert tokens.shape == targets.shape == (n, b.context_length)
    assert tokens.dtype == targets.dtype == np.int64
    np.testing.assert_array_equal(targets, tokens + 1)
    np.testing.assert_array_equal(np.diff(tokens, axis=1), 1)
    assert 0 <= tokens.min() <= targets.max() < b.split.n_tokens
    cut = data.draw(st.integers(0, n))
    halves = b.samples(first, cut), b.samples(first + cut, n - cut)
    np.testing.assert_array_equal(np.concatenate([half[0] for half in halves]), tokens)
    number = first // b.batch_size
    np.testing.assert_array_equal(b.batch(number)[0][first % b.batch_size], tokens[0])


@given(batches(order="permutation"))
def test_tensors_are_the_batches_of_a_pass_and_show_every_window(b):
    pairs = list(b.torch())
    assert {(tokens.dtype, targets.dtype) for tokens, targets in pairs} == {(torch.int64,) * 2}
    for number, (tokens, targets) in enumerate(pairs):
        assert tokens.shape == targets.shape == (b.batch_size, b.context_length)
        np.testing.assert_array_equal(tokens, b.batch(number)[0])
        np.testing.assert_array_equal(targets, b.batch(number)[1])
    assert len(pairs) == -(-b.n_windows // b.batch_size)
    for (tokens, _), (again, _) in zip(b.torch(2, first=3), [b.batch(3), b.batch(4)], strict=True):
        np.testing.assert_array_equal(tokens, again)


@given(batches(order="permutation"), st.integers(0, 2**30))
def test_a_pass_visits_every_window_once(b, number):
    tokens, _ = b.samples(number * b.n_windows, b.n_windows)
    starts = np.sort(tokens[:, 0])
    offset = starts[0] % b.context_length
    np.testing.assert_array_equal(
        starts, starts[0] + b.context_length * np.arange(b.n_windows), err_msg="gaps or repeats"
    )
    assert starts[0] == offset, "a window before the first was left out"
    assert b.split.n_tokens - 1 - (b.n_windows * b.context_length) < 2 * b.context_length


@given(st.integers(1, 3000), seeds)
def test_permute_is_one_to_one(n, seed):
    ranks = np.arange(n, dtype=np.uint64)
    keys = mix(np.full(n, seed % 2**64, dtype=np.uint64))
    assert sorted(permute(ranks, n, keys).tolist()) == list(range(n))


@pytest.mark.parametrize("n", [2**40 + 1, 2**62 - 57])
def test_permute_stays_one_to_one_where_words_are_nearly_full(n):
    ranks = np.arange(100_000, dtype=np.uint64) + (n - 100_000)
    keys = mix(np.zeros(len(ranks), dtype=np.uint64))
    places = permute(ranks, n, keys)
    assert places.max() < n
    assert len(np.unique(places)) == len(ranks)


@pytest.mark.parametrize("n", [64, 1000])
def test_permutations_are_as_good_as_drawn(n):
    """Chi-squared per degree of freedom, of where one rank lands and how far from its neighbour."""
    draws = 50 * n
    keys = mix(np.arange(draws, dtype=np.uint64))
    here, there = (permute(np.full(draws, r, dtype=np.uint64), n, keys).astype(int) for r in (3, 4))
    for counts in (np.bincount(here, minlength=n), np.bincount((there - here) % n)[1:]):
        expected = draws / len(counts)
        assert 0.6 < ((counts - expected) ** 2 / expected).mean() < 1.4


def test_passes_and_seeds_differ_in_order_and_offset():
    one, other = (Batches(counting(10_000), 16, 4, seed) for seed in (1, 2))
    first, second, third = (
        one.samples(0, one.n_windows)[0][:, 0],
        one.samples(one.n_windows, one.n_windows)[0][:, 0],
        other.samples(0, one.n_windows)[0][:, 0],
    )
    assert (first // 16 == second // 16).mean() < 0.02
    assert (first // 16 == third // 16).mean() < 0.02
    passes = [one.samples(p * one.n_windows, one.n_windows)[0].min() for p in range(200)]
    assert set(passes) == set(range(16)), "each offset comes up"


PINNED = {
    "permutation": [[18234, 79482, 36858], [85370, 16309, 85877], [8815, 13487, 21615]],
    "random": [[98818, 8529, 51667], [22080, 10341, 58255], [57877, 41855, 82548]],
    "sliding": [[0, 64, 128], [99904, 0, 64], [55680, 55744, 55808]],
}


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("order", PINNED)
def test_the_order_never_changes(order, shards):
    """A run that goes on after an update must see what it would have seen."""
    b = Batches(counting(100_000, shards), 64, 12, seed=7, order=order)
    places = (0, b.n_windows - 1, 10**12)
    assert [b.samples(at, 3)[0][:, 0].tolist() for at in places] == PINNED[order]


@given(batches(), st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 40)), max_size=6))
def test_what_was_asked_before_changes_nothing(b, asked):
    for first, n in asked:
        alone = Batches(b.split, b.context_length, 1, 0)
        alone.order = b.order
        for mine, theirs in zip(b.samples(first, n), alone.samples(first, n), strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("start", [-1, 12])
def test_a_window_that_leaves_the_split_is_refused(shards, start):
    split = counting(20, shards)
    assert split.windows(np.array([0, 11]), 9).tolist() == [[*range(9)], [*range(11, 20)]]
    assert split.windows(np.array([3]), 2).tolist() == [[3, 4]], "another length"
    for starts, length in (([start], 9), ([0], 21)):
        with pytest.raises(IndexError):
            split.windows(np.array(starts), length)


def test_random_windows_begin_anywhere():
    b = Batches(counting(40), 8, 4, seed=5, order="random")
    starts = b.samples(0, 20_000)[0][:, 0]
    counts = np.bincount(starts)
    assert len(counts) == 32
    assert counts.min() > 450


def test_sliding_is_the_loop_that_it_stands_for():
    ids = list(range(100, 150))
    for stride in (1, 3, 8, 60):
        b = Batches(TokenSplit.from_array(ids, 50), 8, 2, 0, "sliding", stride)
        starts = range(0, len(ids) - 8, stride)
        assert b.n_windows == len(starts)
        tokens, targets = b.samples(0, b.n_windows)
        assert tokens.tolist() == [ids[i : i + 8] for i in starts]
        assert targets.tolist() == [ids[i + 1 : i + 9] for i in starts]
        assert b.samples(b.n_windows, 1)[0].tolist() == [ids[:8]], "and again from the start"


def test_a_batch_of_a_vast_split_costs_no_more():
    class Vast(TokenSplit):
        def __init__(self):
            self.n_tokens = 2**45

        def windows(self, starts, length):
            assert all(0 <= s <= self.n_tokens - length for s in starts)
            return np.add.outer(np.array(starts), np.arange(length))

    tokens, _ = Batches(Vast(), 1024, 8, seed=3).samples(2**50, 8)
    assert len(np.unique(tokens[:, 0])) == 8


@pytest.mark.parametrize("n", [0, 1, 8])
def test_a_split_that_is_too_short_is_refused(n):
    with pytest.raises(DataError, match=rf"{n} tokens .* context_length = 8, which needs 9"):
        Batches(counting(n), 8, 1, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": "permutations"}, "did you mean 'permutation'"),
        ({"stride": 0}, "stride = 0"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"context_length": 0}, "context_length = 0"),
    ],
)
def test_values_out_of_range_are_refused(change, message):
    usual = {"context_length": 4, "batch_size": 2, "seed": 0}
    with pytest.raises(UsageError, match=message):
        Batches(counting(50), **(usual | change))


@given(st.integers(0, 60), st.data())
@settings(max_examples=50)
def test_a_split_reads_the_same_however_it_is_sharded(n, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=6)))
    split = TokenSplit(np.split(np.arange(n, dtype=np.uint16), cuts), n)
    start = data.draw(st.integers(0, n))
    length = data.draw(st.integers(0, n - start))
    assert split.read(start, length).tolist() == list(range(start, start + length))
    for bad in ((start, n - start + 1), (-1, 1)):
        with pytest.raises(IndexError):
            split.read(*bad)


def test_from_array_is_read_only_and_wants_whole_numbers():
    mine = np.arange(5)
    split = TokenSplit.from_array(mine, 5)
    with pytest.raises(ValueError, match="read-only"):
        split.read(0, 3)[0] = 7
    mine[0] = 9  # the caller's own array is left as it was
    for bad in ([0.5], [[1, 2]]):
        with pytest.raises(UsageError, match="whole numbers"):
            TokenSplit.from_array(bad, 1)
