"""The engine against one request at a time, for every family; and that it does no work twice."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from groundup.base.errors import DataError, UsageError
from groundup.evaluate import Request, log_likelihoods
from groundup.evaluate.likelihood import batches, score_rows, token_losses
from groundup.evaluate.rows import Row, common_prefix, row_of, rows_of
from groundup.model import GPT
from tests.evaluate.plain import assert_close, plain_score, random_requests
from tests.model.helpers import FAMILIES, random_gpt


@pytest.fixture
def model() -> GPT:
    return random_gpt(**FAMILIES["gpt2"])


def passes(model: GPT) -> list[torch.Size]:
    """Record the shape of every pass through the blocks."""
    shapes: list[torch.Size] = []
    model.blocks[0].register_forward_hook(lambda m, i, o: shapes.append(o.shape))
    return shapes


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("batch_tokens", [1, 40, 10_000])
def test_scores_equal_one_request_at_a_time(family: str, batch_tokens: int) -> None:
    model = random_gpt(**FAMILIES[family], seed=3)
    requests = random_requests(67)
    expected = [plain_score(model, request) for request in requests]
    assert_close(log_likelihoods(model, requests, batch_tokens), expected)


def test_what_exceeds_the_context_is_cut_on_the_left(model: GPT) -> None:
    requests = random_requests(67, seed=5, longest=60)
    assert any(len(c) + len(t) > model.config.context_length + 1 for c, t in requests)
    assert_close(log_likelihoods(model, requests), [plain_score(model, r) for r in requests])


def test_the_likeliest_continuation_is_greedy(model: GPT) -> None:
    context = [5, 6, 7]
    with torch.no_grad():
        first = int(model(torch.tensor([context]))[0, -1].argmax())
        second = int(model(torch.tensor([[*context, first]]))[0, -1].argmax())
    other = (second + 1) % 67
    requests = [Request(context, [first, end]) for end in (second, other)]
    assert [score.greedy for score in log_likelihoods(model, requests)] == [True, False]


def test_choices_of_one_token_cost_their_context_once(model: GPT) -> None:
    shapes = passes(model)
    log_likelihoods(model, [Request([1, 2, 3, 4], [token]) for token in range(5)])
    assert shapes == [(1, 4, 32)]


def test_neighbours_share_what_they_begin_with(model: GPT) -> None:
    shapes = passes(model)
    log_likelihoods(model, [Request([1, 2, 3, 4], [token, 6, 7]) for token in (5, 8)])
    assert shapes == [(1, 4 + 2 + 2, 32)]


def test_only_places_that_predict_are_scored_and_few_at_a_time(
    model: GPT, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("groundup.evaluate.loss.LOGITS_AT_ONCE", 67 * 3)
    monkeypatch.setattr("groundup.evaluate.loss.LEAST_ROWS", 1)
    sizes: list[int] = []
    head: nn.Module = model.lm_head
    head.register_forward_hook(lambda m, i, o: sizes.append(o.shape[0]))
    log_likelihoods(model, [Request([1, 2, 3, 4, 5], [6, 7]), Request([9, 9], [1, 2, 3, 4, 5])])
    assert sum(sizes) == 2 + 5
    assert max(sizes) == 3


def test_modes_are_left_and_nothing_is_recorded(model: GPT) -> None:
    model.train()
    first = log_likelihoods(model, [Request([1], [2])])
    assert model.training
    assert log_likelihoods(model, [Request([1], [2])]) == first
    assert log_likelihoods(model, []) == []


def test_batches_hold_every_document_once_the_longest_first() -> None:
    requests = random_requests(67, seed=2)
    documents = [rows_of(requests[n : n + 3], 24) for n in range(0, len(requests), 3)]
    for batch_tokens in (1, 30, 64, 100_000):
        made = list(batches(documents, batch_tokens))
        assert sorted(i for batch in made for i in batch) == list(range(len(documents)))
        longest = [[max(map(len, documents[i])) for i in batch] for batch in made]
        flat = [length for batch in longest for length in batch]
        assert flat == sorted(flat, reverse=True)
        for batch, lengths in zip(made, longest, strict=True):
            size = lengths[0] * sum(len(documents[i]) for i in batch)
            assert size <= batch_tokens or len(batch) == 1


def test_padding_is_small_once_a_batch_is_worth_it() -> None:
    documents = [[row_of(Request([1] * length, [2]), 400)] for length in range(1, 400)]
    made = list(batches(documents, 4096))
    for batch in made[:-1]:
        lengths = [len(documents[i][0]) for i in batch]
        padding = lengths[0] * len(lengths) - sum(lengths)
        assert sum(lengths[:-1]) * 8 <= 4096 or padding * 8 <= lengths[0] * len(lengths)
    assert len(made) < 60


def test_each_loss_is_that_of_a_lone_row(model: GPT) -> None:
    rows = rows_of(random_requests(67), 24)
    losses, hits = token_losses(model, rows)
    assert len(losses) == len(hits) == sum(len(t) for row in rows for t in row.targets)
    scores = [score for row in score_rows(model, rows) for score in row]
    assert -sum(score.log_likelihood for score in scores) == pytest.approx(losses.sum(), rel=1e-5)


def test_rows_never_exceed_the_context() -> None:
    for seed in range(20):
        requests = random_requests(4, seed=seed, longest=20)
        rows = rows_of(requests, 24)
        assert max(map(len, rows)) <= 24
        assert sum(len(row.inputs) for row in rows) == len(requests)
        for row in rows:
            for one, other in pairwise(row.inputs):
                assert common_prefix(one, other) >= row.n_shared
            tokens, positions, branches, columns = row.layout()
            assert len(tokens) == len(positions) == len(branches) == len(row)
            assert len(columns) == sum(map(len, row.targets))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request([1], []), "a continuation of 0 tokens: expected 1 to 24"),
        (Request([1], [2] * 25), "a continuation of 25 tokens: expected 1 to 24"),
        (Request([], [2]), "a context without tokens"),
    ],
)
def test_requests_that_cannot_be_asked(model: GPT, request_: Request, message: str) -> None:
    with pytest.raises(DataError, match=message):
        log_likelihoods(model, [request_])


def test_a_batch_of_no_tokens_is_refused(model: GPT) -> None:
    with pytest.raises(UsageError, match="batch_tokens = 0: expected 1 or more"):
        log_likelihoods(model, [Request([1], [2])], 0)


def test_strangers_are_not_joined() -> None:
    """A token that begins every text is no reason to read the texts as one row."""
    for shared in ([], [9]):
        requests = [Request([*shared, *[token] * 10], [token]) for token in range(5)]
        rows: list[Row] = rows_of(requests, 100)
        assert [len(row.inputs) for row in rows] == [1] * 5
