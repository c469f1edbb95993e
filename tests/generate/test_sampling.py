"""What the filters let through, and how often each token is drawn."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from groundup.base.errors import ConfigError, GroundupError
from groundup.generate import SamplingConfig, next_tokens
from groundup.generate.sampling import filtered, generators, penalised

PROBABILITIES = [0.1, 0.4, 0.05, 0.25, 0.2]
LOGITS = torch.tensor([PROBABILITIES]).log() + 3.0


def kept(**settings: Any) -> set[int]:
    scores = filtered(LOGITS, SamplingConfig(**{"temperature": 1.0, **settings}))
    return set(scores[0].isfinite().nonzero()[:, 0].tolist())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {0, 1, 2, 3, 4}),
        ({"top_k": 0}, {0, 1, 2, 3, 4}),
        ({"top_k": 1}, {1}),
        ({"top_k": 3}, {1, 3, 4}),
        ({"top_k": 99}, {0, 1, 2, 3, 4}),
        ({"top_p": 1e-9}, {1}),
        ({"top_p": 0.39}, {1}),
        ({"top_p": 0.41}, {1, 3}),
        ({"top_p": 0.9}, {1, 3, 4, 0}),
        ({"min_p": 0.3}, {1, 3, 4}),
        ({"min_p": 1.0}, {1}),
        # Temperature comes before top-p: 1 and 3 hold 0.4^2 + 0.25^2 = 82% of the squares' 0.275.
        ({"top_p": 0.79, "temperature": 0.5}, {1, 3}),
        ({"top_p": 0.79}, {1, 3, 4}),
        # Top-k comes before top-p: of the three best, 1 and 3 hold 76%.
        ({"top_k": 3, "top_p": 0.76}, {1, 3}),
        ({"top_p": 0.76}, {1, 3, 4}),
    ],
)
def test_filters(settings: dict[str, Any], expected: set[int]) -> None:
    assert kept(**settings) == expected


def test_ties_at_the_edge_of_top_k_stay() -> None:
    scores = filtered(torch.tensor([[1.0, 2.0, 1.0, 0.0]]), SamplingConfig(top_k=2))
    assert scores.isfinite().tolist() == [[True, True, True, False]]


def test_draws_follow_the_probabilities() -> None:
    n = 4000
    drawn = next_tokens(
        LOGITS.expand(n, -1), SamplingConfig(temperature=1.0), generators(0, n), [[]] * n
    )
    counts = torch.bincount(torch.tensor(drawn), minlength=5) / n
    torch.testing.assert_close(counts, torch.tensor(PROBABILITIES), atol=0.025, rtol=0)


def test_draws_never_leave_the_filter() -> None:
    config = SamplingConfig(temperature=9.0, top_k=2)
    drawn = next_tokens(LOGITS.expand(500, -1), config, generators(0, 500), [[]] * 500)
    assert set(drawn) == {1, 3}


@pytest.mark.parametrize(("number", "expected"), [(0.0, 1), (0.5, 3), (1 - 2**-53, 3)])
def test_even_the_ends_of_the_random_range_draw_a_token_that_was_kept(
    monkeypatch: pytest.MonkeyPatch, number: float, expected: int
) -> None:
    exact = torch.full((1,), number, dtype=torch.float64)
    monkeypatch.setattr(torch, "rand", lambda *size, **options: exact)
    logits = torch.tensor([[-math.inf, 0.0, -math.inf, 0.0, -math.inf]])
    assert next_tokens(logits, SamplingConfig(), generators(0, 1), [[]]) == [expected]


@pytest.mark.parametrize("temperature", [0.0, 1e-300, 1e-6])
def test_no_temperature_is_too_low(temperature: float) -> None:
    config = SamplingConfig(temperature=temperature)
    assert next_tokens(LOGITS * 1e4, config, generators(0, 1), [[]]) == [1]


def test_penalty_lowers_what_was_seen() -> None:
    logits = torch.tensor([[2.0, -1.0, 3.0], [2.0, -1.0, 3.0]])
    scores = penalised(logits, [[0, 1, 1, 0], [2]], 2.0)
    assert scores.tolist() == [[1.0, -2.0, 3.0], [2.0, -1.0, 1.5]]
    assert logits[0].tolist() == [2.0, -1.0, 3.0]


def test_row_i_draws_from_seed_plus_i() -> None:
    first, second = generators(7, 2), generators(8, 1)
    assert torch.rand(3, generator=first[1]).tolist() == torch.rand(3, generator=second[0]).tolist()
    assert generators(None, 1)[0].initial_seed() != generators(None, 1)[0].initial_seed()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_scores_that_are_no_numbers_are_an_error(bad: float, temperature: float) -> None:
    logits = torch.tensor([[0.0, bad]])
    with pytest.raises(GroundupError, match="not finite"):
        next_tokens(logits, SamplingConfig(temperature=temperature), generators(0, 1), [[]])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", -1),
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("min_p", -0.1),
        ("min_p", 1.1),
        ("repetition_penalty", 0.0),
        ("seed", -1),
        ("seed", 1 << 63),
        ("stop", ["a", ""]),
        ("stop", ""),
    ],
)
def test_values_that_make_no_sense_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{name} = .*: expected [^\n]*$"):
        SamplingConfig(**{name: value})
