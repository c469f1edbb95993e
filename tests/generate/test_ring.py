"""Layers with a window keep a ring: the same vectors and texts as with the whole cache, in less."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from groundup.generate import KVCache, lookup, ring
from groundup.generate.cache import PrefillCache
from groundup.generate.cuda_graph import StaticCache
from groundup.model import GPT
from tests.generate.test_generate import GREEDY, SAMPLED, random_model, written

WINDOW, CONTEXT = 5, 48
SHAPES: list[dict[str, Any]] = [
    {"window": WINDOW, "position": "rope", "n_kv_heads": 1},
    {"window": WINDOW, "window_pattern": "LG", "attention_softcap": 3.0},
]
each_shape = pytest.mark.parametrize("shape", SHAPES)


def _model(shape: dict[str, Any], context: int = CONTEXT, seed: int = 0) -> GPT:
    more = {"context_length": context, "n_layers": 3, "emb_dim": 32, "n_heads": 2}
    return random_model(seed, **more | shape).eval()


@pytest.fixture
def little_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring, "SLACK", 4)


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=5e-5, rtol=1e-5)


@each_shape
@pytest.mark.parametrize(
    "sizes", [[1] * 40, [3] * 13 + [1], [40], [20, 20], [2, 9, 1, 4, 1, 12, 5, 6], [1, 39]]
)
@pytest.mark.usefixtures("little_slack")
@torch.inference_mode()
def test_reading_in_pieces_equals_reading_at_once(shape: dict[str, Any], sizes: list[int]) -> None:
    model, tokens = _model(shape), torch.randint(257, (2, 40))
    cache = KVCache(model.config, 2, CONTEXT)
    parts = [model(piece, cache) for piece in tokens.split(sizes, dim=1)]
    close(torch.cat(parts, dim=1), model(tokens))
    sizes = [keys.shape[2] for keys, _ in cache.buffers.values()]
    assert sizes == [9 if model.config.window_of(i) else CONTEXT for i in range(3)]


@each_shape
@pytest.mark.usefixtures("little_slack")
@torch.inference_mode()
def test_rows_of_different_lengths_equal_rows_alone(shape: dict[str, Any]) -> None:
    """Padded together, 14 tokens read once for two rows, one row forgotten, one read again."""
    model, tokens = _model(shape), torch.randint(257, (4, CONTEXT))
    tokens[2, :14] = tokens[1, :14]
    cache, lengths = KVCache(model.config, 4, CONTEXT), [3, 31, 22, 12]
    model.hidden_states(tokens[[0, 3], :12], PrefillCache(cache, [0, 3], 0, [3, 12]))
    model.hidden_states(tokens[1:2, :14], PrefillCache(cache, [1]))
    cache.copy(1, [2], 14)
    model.hidden_states(tokens[1:3, 14:31], PrefillCache(cache, [1, 2], 14, [31, 22]))
    cache.set_lengths(lengths)
    for rows in ([0, 1, 2, 3], [0, 2, 3]):
        if len(rows) < len(cache.lengths):
            cache.keep(rows)
            model.hidden_states(tokens[2:3, :20], PrefillCache(cache, [1], 0, [20]))
            lengths = [lengths[0], 20, lengths[3]]
            cache.set_lengths(lengths)
        for n_new in (1, 4, 1, 7):
            places = zip(rows, lengths, strict=True)
            new = torch.stack([tokens[row, n : n + n_new] for row, n in places])
            read = model(new, cache)
            for i, row in enumerate(rows):
                alone = model(tokens[row : row + 1, : lengths[i] + n_new])[0, lengths[i] :]
                close(read[i], alone)
            lengths = [n + n_new for n in lengths]
        lengths = [n - 4 for n in lengths]  # as rejected guesses are
        cache.set_lengths(lengths)


@pytest.mark.usefixtures("little_slack")
@torch.inference_mode()
def test_what_a_ring_has_lost_is_not_gone_back_to() -> None:
    model = _model(SHAPES[0])
    cache = KVCache(model.config, 1, CONTEXT)
    model(torch.randint(257, (1, 30)), cache)
    cache.set_lengths([26])
    with pytest.raises(ValueError, match="held 30 tokens and cannot go back to 25"):
        cache.set_lengths([25])
    cache.set_lengths([0])
    model(torch.randint(257, (1, 30)), cache)


@each_shape
@pytest.mark.usefixtures("little_slack")
@torch.inference_mode()
def test_the_view_of_a_recorded_step_is_the_same(shape: dict[str, Any]) -> None:
    model, tokens = _model(shape), torch.randint(257, (2, CONTEXT))
    cache, lengths = KVCache(model.config, 2, CONTEXT), torch.tensor([3, 25])
    model.hidden_states(tokens[:, :25], PrefillCache(cache, [0, 1], 0, lengths.tolist()))
    view = StaticCache(cache, lengths)
    for _ in range(12):
        new = tokens[[0, 1], lengths][:, None]
        read = model(new, view)
        for row, n in enumerate(lengths.tolist()):
            close(read[row], model(tokens[row : row + 1, : n + 1])[0, -1:])
        lengths += 1


@each_shape
@pytest.mark.parametrize("settings", [GREEDY, SAMPLED])
@pytest.mark.parametrize("n_prompts", [1, 4])
@pytest.mark.usefixtures("little_slack")
def test_the_text_is_that_without_a_cache(
    shape: dict[str, Any], settings: dict[str, Any], n_prompts: int
) -> None:
    """Also past the context; prompts begin alike, and are of different lengths."""
    model = _model(shape)
    prompts = [list(range(1, 34 + 3 * i)) for i in range(n_prompts)]
    texts = [
        written(model, prompts, max_tokens=60, use_cache=use, lookup=False, **settings)
        for use in (True, False)
    ]
    assert texts[0] == texts[1]


@each_shape
@pytest.mark.parametrize("tie", [lookup.TIE, 1.0])
def test_guessed_ahead_it_is_the_same_text(
    shape: dict[str, Any], tie: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where every guess is a tie, so that what a ring has lost is read again."""
    monkeypatch.setattr(lookup, "TIE", tie)
    monkeypatch.setattr(ring, "SLACK", 33)
    model, prompt = _model(shape, 160), [7, 8, 9, 10, 11, 12] * 8
    texts = [
        written(model, [prompt], max_tokens=170, lookup=ahead, **GREEDY) for ahead in (True, False)
    ]
    assert texts[0] == texts[1]
