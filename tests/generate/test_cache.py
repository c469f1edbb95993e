"""The cache's parts: chunks, ragged rows, capacity, forgetting."""

from __future__ import annotations

import pytest
import torch

from groundup.generate import KVCache
from groundup.generate.cache import PrefillCache
from groundup.generate.windows import n_common
from groundup.model import plain_attention
from groundup.model.gpt import GPT
from tests.generate.test_generate import random_model


@pytest.fixture
def model() -> GPT:
    return random_model(context_length=12, n_layers=3).eval()


@pytest.mark.parametrize("sizes", [[10], [1] * 10, [4, 1, 5], [1, 9], [3, 3, 3, 1]])
@torch.inference_mode()
def test_reading_in_chunks_equals_reading_at_once(model: GPT, sizes: list[int]) -> None:
    tokens = torch.randint(257, (2, 10))
    cache = KVCache(model.config, 2, 10)
    parts = [model(chunk, cache) for chunk in tokens.split(sizes, dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), model(tokens), atol=2e-5, rtol=1e-5)
    assert cache.lengths == [10, 10]


@pytest.mark.parametrize("plain", [False, True])
@torch.inference_mode()
def test_ragged_rows_equal_rows_alone(model: GPT, plain: bool) -> None:
    if plain:
        fused, model = model, GPT(model.config, plain_attention)
        model.load_state_dict(fused.state_dict())
    lengths, tokens = [2, 7, 5], torch.randint(257, (3, 12))
    cache = KVCache(model.config, 3, 12)
    model.hidden_states(tokens[:, :7], PrefillCache(cache, [0, 1, 2]))
    cache.set_lengths(lengths)
    new = torch.stack([tokens[row, n : n + 4] for row, n in enumerate(lengths)])
    read = torch.cat([model(new[:, :3], cache), model(new[:, 3:], cache)], dim=1)
    for row, n in enumerate(lengths):
        alone = model(tokens[row : row + 1, : n + 4])[0, n:]
        torch.testing.assert_close(read[row], alone, atol=2e-5, rtol=1e-5)


@torch.inference_mode()
def test_rows_can_be_reread_and_forgotten(model: GPT) -> None:
    tokens = torch.randint(257, (3, 9))
    cache = KVCache(model.config, 3, 9)
    model(tokens[:, :8], cache)
    other = torch.randint(257, (1, 4))
    model.hidden_states(other, PrefillCache(cache, [2]))
    cache.set_lengths([8, 8, 4])
    cache.keep([0, 2])
    read = model(tokens[[0, 2], 8:], cache)
    torch.testing.assert_close(read[0], model(tokens[:1])[0, -1:], atol=2e-5, rtol=1e-5)
    joined = torch.cat([other, tokens[2:, 8:]], dim=1)
    torch.testing.assert_close(read[1], model(joined)[0, -1:], atol=2e-5, rtol=1e-5)


@torch.inference_mode()
def test_buffers_are_static_and_of_exact_size(model: GPT) -> None:
    model = model.to(torch.bfloat16)
    cache = KVCache(model.config, 2, 6)
    model(torch.zeros(2, 1, dtype=torch.long), cache)
    places = [keys.data_ptr() for keys, _ in cache.buffers.values()]
    for _ in range(5):
        model(torch.zeros(2, 1, dtype=torch.long), cache)
    assert [keys.data_ptr() for keys, _ in cache.buffers.values()] == places
    assert {keys.dtype for keys, _ in cache.buffers.values()} == {torch.bfloat16}
    values = sum(tensor.numel() for pair in cache.buffers.values() for tensor in pair)
    assert values == 2 * 3 * model.config.emb_dim * 2 * 6
    with pytest.raises(ValueError, match="do not fit a cache of 6"):
        model(torch.zeros(2, 1, dtype=torch.long), cache)


@torch.inference_mode()
def test_a_later_token_never_changes_an_earlier_vector(model: GPT) -> None:
    tokens = torch.randint(257, (1, 8))
    changed = tokens.clone()
    changed[0, 6] = (changed[0, 6] + 1) % 257
    read = [model(t[:, 3:], _filled(model, t[:, :3])) for t in (tokens, changed)]
    torch.testing.assert_close(read[0][:, :3], read[1][:, :3], atol=0, rtol=0)
    assert (read[0][:, 3:] - read[1][:, 3:]).abs().max() > 0.1


def _filled(model: GPT, tokens: torch.Tensor) -> KVCache:
    cache = KVCache(model.config, 1, 8)
    model(tokens, cache)
    return cache


@pytest.mark.parametrize("window", [None, 3])
@torch.inference_mode()
def test_rows_that_begin_alike_equal_rows_alone(window: int | None) -> None:
    model = random_model(context_length=12, n_layers=3, window=window).eval()
    tokens = torch.randint(257, (3, 12))
    tokens[:, :5] = tokens[0, :5]
    cache, lengths = KVCache(model.config, 3, 12), [5, 9, 7]
    model.hidden_states(tokens[1:2, :5], PrefillCache(cache, [1]))
    cache.copy(1, [0, 2], 5)
    model.hidden_states(tokens[1:, 5:9], PrefillCache(cache, [1, 2], 5))
    cache.set_lengths(lengths)
    new = torch.stack([tokens[row, n : n + 2] for row, n in enumerate(lengths)])
    read = model(new, cache)
    for row, n in enumerate(lengths):
        alone = model(tokens[row : row + 1, : n + 2])[0, n:]
        torch.testing.assert_close(read[row], alone, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("rows", "n"),
    [
        ([[1, 2, 3], [1, 2, 4, 5]], 2),
        ([[1, 2], [1, 2, 3]], 2),
        ([[5], [1, 5]], 0),
        ([[7, 8]] * 3, 2),
    ],
)
def test_how_many_tokens_rows_begin_with(rows: list[list[int]], n: int) -> None:
    assert n_common(rows) == n
