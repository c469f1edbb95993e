"""Guessed ahead equals one by one: the tokens when greedy, the distribution when drawn."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import nn

from groundup.device.threads import cpu_threads
from groundup.generate import SamplingConfig, generate, generate_tokens
from groundup.generate.lookup import AheadReader, Guesses, can_look_up, cost
from groundup.model import GPT
from tests.generate.test_generate import FILTERED, GREEDY, SAMPLED, Bytes, random_model, written

MODERN: dict[str, Any] = {
    "norm": "rmsnorm",
    "position": "rope",
    "feed_forward": "swiglu",
    "n_kv_heads": 1,
    "qk_norm": "head",
}
SHAPES: list[dict[str, Any]] = [
    {"context_length": 64},
    {"context_length": 64, "emb_dim": 96, "n_heads": 2, "n_layers": 3, **MODERN},
    {"context_length": 20, "n_layers": 3, "window": 6, "window_pattern": "LG", "position": "rope"},
    {"context_length": 7, "emb_dim": 24, "n_heads": 3},
    {"context_length": 1, "emb_dim": 16, "n_heads": 1, "tie_embeddings": True},
    {"context_length": 400, "emb_dim": 48, "n_layers": 4, "drop_rate": 0.3},
]
COPIED = list(b"To be, or not to be, that is the question. To be, or not to be, that")


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of tokens in each reading, 0 for one that fell back to one by one."""
    seen: list[int] = []
    ahead, exactly = AheadReader.read_ahead, AheadReader.read_exactly

    def read_ahead(self: AheadReader, row: Sequence[int], guess: Sequence[int]) -> Any:
        seen.append(1 + len(guess))
        return ahead(self, row, guess)

    def read_exactly(self: AheadReader, row: Sequence[int]) -> Any:
        seen.append(0)
        return exactly(self, row)

    monkeypatch.setattr(AheadReader, "read_ahead", read_ahead)
    monkeypatch.setattr(AheadReader, "read_exactly", read_exactly)
    return seen


def both_ways(model: GPT, prompt: Sequence[int], **settings: Any) -> tuple[list[int], list[int]]:
    (ahead,) = written(model, [prompt], **settings)
    (plain,) = written(model, [prompt], lookup=False, **settings)
    return ahead, plain


@pytest.mark.parametrize("settings", [GREEDY, {**GREEDY, "repetition_penalty": 1.05}])
@pytest.mark.parametrize("shape", SHAPES)
def test_greedy_writes_token_for_token_the_same(
    shape: dict[str, Any], settings: dict[str, Any], readings: list[int]
) -> None:
    """Also past the context, where windows move and rejected guesses were in the cache."""
    for seed in range(2):
        ahead, plain = both_ways(random_model(seed, **shape), COPIED, max_tokens=120, **settings)
        assert ahead == plain
    longest = max(readings)
    assert longest > 1 or shape["context_length"] == 1
    assert longest <= max(1, shape["context_length"] // 2 + 1)


def test_a_repetitive_text_takes_a_fraction_of_the_readings(readings: list[int]) -> None:
    model = random_model(context_length=600)
    ahead, plain = both_ways(model, COPIED, max_tokens=500, **GREEDY)
    assert ahead == plain
    assert len(readings) < 500 / 4


def near_tied_model(seed: int) -> GPT:
    """Each token has a twin that scores within some roundings of fp32 of it."""
    model = random_model(seed, vocab_size=256, context_length=256, emb_dim=64, n_layers=3)
    with torch.no_grad():
        noise = torch.randn(128, 64, generator=torch.Generator().manual_seed(seed))
        model.lm_head.weight[128:] = model.lm_head.weight[:128] * (1 + 3e-7 * noise)
    return model


def test_near_ties_are_decided_as_one_by_one(readings: list[int]) -> None:
    """On one thread throughout: a sum over two may round otherwise, with guesses or without."""
    for seed in range(2):
        with cpu_threads(1):
            ahead, plain = both_ways(near_tied_model(seed), COPIED, max_tokens=150, **GREEDY)
        assert ahead == plain
        assert {token < 128 for token in plain} == {True, False}
    assert readings.count(0) > 10
    assert max(readings) > 1


@pytest.mark.parametrize("settings", [SAMPLED, FILTERED, {**FILTERED, "temperature": 0.2}])
@pytest.mark.parametrize("shape", SHAPES[:4])
def test_a_seed_draws_the_same_text(
    shape: dict[str, Any], settings: dict[str, Any], readings: list[int]
) -> None:
    ahead, plain = both_ways(random_model(7, **shape), COPIED, max_tokens=100, **settings)
    assert ahead == plain
    assert max(readings) > 1


@pytest.mark.parametrize("shape", SHAPES[:4])
def test_wrong_guesses_leave_no_trace(
    shape: dict[str, Any], monkeypatch: pytest.MonkeyPatch, readings: list[int]
) -> None:
    """Guesses that are right for a while, or never, up to and past the moving window."""
    model = random_model(8, **shape)
    (plain,) = written(model, [COPIED], max_tokens=100, lookup=False, **SAMPLED)
    turn = itertools.count()

    def guessed(self: Guesses, limit: int) -> list[int]:
        done = len(self.tokens) - len(COPIED)
        n_right = next(turn) % 5
        wrong = [(token + 1) % 257 for token in plain[done + n_right :]]
        return [*plain[done : done + n_right], *wrong][: min(limit, 6)]

    monkeypatch.setattr(Guesses, "next", guessed)
    (ahead,) = written(model, [COPIED], max_tokens=100, **SAMPLED)
    assert ahead == plain
    assert sum(n_read > 2 for n_read in readings) > 5


def probabilities(
    model: GPT, tokens: list[int], temperature: float, top_k: int, top_p: float, penalty: float
) -> list[float]:
    """The distribution of the next token, worked out by the definitions one number at a time."""
    with torch.inference_mode():
        scores = model(torch.tensor([tokens]))[0, -1].double().tolist()
    for seen in set(tokens):
        scores[seen] = scores[seen] / penalty if scores[seen] > 0 else scores[seen] * penalty
    order = sorted(range(len(scores)), key=lambda token: -scores[token])[:top_k]
    weights = {token: math.exp(scores[token] / temperature) for token in order}
    total, kept, held = sum(weights.values()), {}, 0.0
    for token in order:
        if held < top_p * total:
            kept[token] = weights[token]
        held += weights[token]
    return [kept.get(token, 0.0) / sum(kept.values()) for token in range(len(scores))]


def sequences(
    model: GPT, tokens: list[int], length: int, settings: tuple[float, int, float, float]
) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every continuation of `length` tokens that is possible, with its probability."""
    if length == 0:
        yield (), 1.0
        return
    for token, p in enumerate(probabilities(model, tokens, *settings)):
        if p > 0:
            for rest, q in sequences(model, [*tokens, token], length - 1, settings):
                yield (token, *rest), p * q


@pytest.mark.parametrize("settings", [(1.0, 4, 1.0, 1.0), (1.1, 3, 0.9, 1.3)])
def test_samples_follow_the_exact_distribution(
    monkeypatch: pytest.MonkeyPatch, settings: tuple[float, int, float, float]
) -> None:
    """Chi squared over all texts of three tokens, always guessed at, likely and unlikely ones.

    A rule that wrote the first guess a tenth too often would be seen: see the last lines.
    """
    model = random_model(3, vocab_size=4, context_length=16, emb_dim=16, n_layers=1).eval()
    with torch.no_grad():
        model.lm_head.weight /= model.lm_head.weight.abs().max() * 4
    prompt, n_samples = [1, 2, 3, 1, 2, 3, 1, 2], 1000
    expected = dict(sequences(model, prompt, 3, settings))
    by_chance = sorted(expected, key=lambda text: -expected[text])
    guesses = itertools.cycle([by_chance[0], by_chance[len(by_chance) // 3], by_chance[-1]])
    monkeypatch.setattr(Guesses, "next", lambda self, limit: list(next(guesses))[:limit])
    temperature, top_k, top_p, penalty = settings
    counts: Counter[tuple[int, ...]] = Counter()
    for seed in range(n_samples):
        sampling = SamplingConfig(
            max_tokens=3,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            repetition_penalty=penalty,
            seed=1_000_003 * seed,
        )
        steps = generate_tokens(model, [prompt], sampling)
        counts[tuple(token for (token,) in steps if token is not None)] += 1
    assert counts.keys() <= expected.keys()
    assert deviation(counts, expected, n_samples) < 4
    favoured = Counter({text: n - round(n / 10) for text, n in counts.items()})
    favoured[by_chance[0]] += n_samples - favoured.total()
    assert deviation(favoured, expected, n_samples) > 4


def deviation(
    counts: Counter[tuple[int, ...]], expected: dict[tuple[int, ...], float], n_samples: int
) -> float:
    """Chi squared in standard deviations above its mean; rare texts are counted as one."""
    often = {text: p for text, p in expected.items() if p * n_samples >= 5}
    rare = 1 - sum(often.values())
    cells = [(counts[text], p * n_samples) for text, p in often.items()]
    if rare * n_samples >= 5:
        cells.append((n_samples - sum(n for n, _ in cells), rare * n_samples))
    chi_squared = sum((n - mean) ** 2 / mean for n, mean in cells)
    freedom = len(cells) - 1
    return (chi_squared - freedom) / math.sqrt(2 * freedom)


def test_a_text_that_stops_inside_a_guess_stops_there() -> None:
    model = random_model(2, context_length=300)
    prompt = bytes(COPIED).decode()
    whole = generate(model, Bytes(), prompt, max_tokens=200, **GREEDY)
    end = whole[120:124]
    ahead, plain = (
        generate(model, Bytes(), prompt, max_tokens=200, stop=end, lookup=lookup, **GREEDY)
        for lookup in (True, False)
    )
    assert ahead == plain == whole[: whole.index(end)]


def test_only_where_it_is_exact() -> None:
    model = random_model()
    assert can_look_up(model)
    assert not can_look_up(random_model().bfloat16())

    class Coarse(nn.Linear):
        """Anybody's layer: what it makes of several tokens at once is not known."""

    model.get_submodule("blocks.0.ffn").up = Coarse(32, 128)
    assert not can_look_up(model)


def test_several_prompts_are_written_without(readings: list[int]) -> None:
    written(random_model(), [COPIED, COPIED], max_tokens=20, **GREEDY)
    assert not readings


def test_no_more_is_read_than_is_wanted(readings: list[int]) -> None:
    model = random_model(context_length=400)
    for max_tokens in (1, 2, 5):
        ahead, plain = both_ways(model, COPIED * 3, max_tokens=max_tokens, **GREEDY)
        assert ahead == plain
        assert len(ahead) == max_tokens
    assert max(readings) <= 5


def test_a_guess_is_what_followed_last_time() -> None:
    guesses = Guesses([9, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3])
    assert guesses.next(4) == [4, 5, 6, 7][: len(guesses.next(4))]
    assert guesses.next(1) == [4]
    assert guesses.next(0) == []
    guesses.add(8)  # the match is broken
    assert guesses.next(4) == []


def test_a_circle_is_gone_round_again() -> None:
    guesses = Guesses([5, 6, 7] * 20)
    assert guesses.next(31) == ([5, 6, 7] * 11)[:31]


def test_what_is_never_right_is_not_guessed() -> None:
    """Pairs that recur, each time followed by something new; then a passage that recurs whole."""
    guesses = Guesses([])
    made = 0
    for new in range(100, 300):
        for token in (1, 2, new):
            made += bool(guesses.next(8))
            guesses.add(token)
    assert made < 40
    assert guesses.rates[2] < 0.2
    passage = list(range(1000, 1060))
    for token in [*passage, *passage[:20]]:
        guesses.add(token)
    assert guesses.next(31)[:8] == passage[20:28]


def test_the_cost_of_a_reading_grows_with_its_tokens() -> None:
    costs = [cost(n) for n in range(1, 33)]
    assert costs[0] == 1
    assert costs == sorted(costs)
