"""The loss of a text, against a loop that computes it one window at a time."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from groundup.base.errors import DataError, UsageError
from groundup.config import GPTConfig
from groundup.data import TokenSplit
from groundup.device.allocator import can_keep_freed_memory
from groundup.evaluate import Evaluation, evaluate_loss
from groundup.evaluate.loss import window_starts
from groundup.model import GPT

CONTEXT = 8


@pytest.fixture
def model() -> GPT:
    model = GPT(
        GPTConfig(
            vocab_size=31, context_length=CONTEXT, emb_dim=16, n_heads=2, n_layers=2, drop_rate=0.4
        )
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def split_of(n_tokens: int, n_bytes: int = 1000) -> TokenSplit:
    ids = np.random.default_rng(2).integers(31, size=n_tokens, dtype=np.uint16)
    return TokenSplit([ids[: n_tokens // 3], ids[n_tokens // 3 :]], n_bytes)


@torch.no_grad()
def naive_losses(model: GPT, split: TokenSplit, context: int) -> list[list[float]]:
    model.eval()
    tokens = split.read(0, split.n_tokens).astype(np.int64)
    windows = []
    for start in range(0, len(tokens) - 1, context):
        window = torch.from_numpy(tokens[start : start + context + 1].copy())
        logits = model(window[None, :-1])[0]
        windows.append(F.cross_entropy(logits, window[1:], reduction="none").tolist())
    return windows


@pytest.mark.parametrize("n_tokens", [2, 8, 9, 10, 17, 100, 101])
@pytest.mark.parametrize("context", [CONTEXT, 5, 1])
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_whole_split_equals_a_naive_loop(
    model: GPT, n_tokens: int, context: int, batch_size: int
) -> None:
    split = split_of(n_tokens)
    result = evaluate_loss(model, split, context_length=context, batch_size=batch_size)
    losses = [loss for window in naive_losses(model, split, context) for loss in window]
    mean = sum(losses) / len(losses)
    assert result.tokens == len(losses) == n_tokens - 1
    assert result.loss == pytest.approx(mean, rel=1e-5)
    assert result.perplexity == pytest.approx(math.exp(mean), rel=1e-4)
    assert result.bits_per_byte == pytest.approx(mean / math.log(2) * n_tokens / 1000, rel=1e-5)
    assert result.seconds > 0


def test_scores_come_in_small_portions(model: GPT, monkeypatch: pytest.MonkeyPatch) -> None:
    split = split_of(90)
    whole = evaluate_loss(model, split)
    monkeypatch.setattr("groundup.evaluate.loss.LOGITS_AT_ONCE", 31 * 7)
    monkeypatch.setattr("groundup.evaluate.loss.LEAST_ROWS", 1)
    sizes: list[int] = []
    model.lm_head.register_forward_hook(lambda m, i, o: sizes.append(o.numel()))
    assert evaluate_loss(model, split).loss == pytest.approx(whole.loss, rel=1e-6)
    assert max(sizes) == 31 * 7


def test_part_of_a_split_is_windows_spread_over_it(model: GPT) -> None:
    split = split_of(100)
    windows = naive_losses(model, split, CONTEXT)
    result = evaluate_loss(model, split, max_tokens=3 * CONTEXT + 2)
    chosen = [windows[i] for i in (2, 6, 10)]
    assert result.tokens == 3 * CONTEXT
    mean = sum(map(sum, chosen)) / result.tokens
    assert result.loss == pytest.approx(mean, rel=1e-5)
    assert result.bits_per_byte == pytest.approx(mean / math.log(2) * 100 / 1000, rel=1e-5)
    again = evaluate_loss(model, split, max_tokens=3 * CONTEXT + 2, batch_size=1)
    assert again.loss == pytest.approx(result.loss, rel=1e-6)


@pytest.mark.parametrize("n_tokens", [2, 9, 10, 50, 1000])
@pytest.mark.parametrize("max_tokens", [1, 8, 30, 49, 500, 10**9])
def test_windows_never_overlap_nor_leave_the_split(n_tokens: int, max_tokens: int) -> None:
    starts = list(window_starts(n_tokens, 8, max_tokens))
    assert starts == sorted(set(starts))
    assert set(starts) <= set(range(0, n_tokens - 1, 8))
    assert len(starts) * 8 <= max(8, max_tokens) or max_tokens >= n_tokens - 1
    if max_tokens >= n_tokens - 1:
        assert starts == list(window_starts(n_tokens, 8, None)) == list(range(0, n_tokens - 1, 8))


def test_all_passes_have_one_shape(model: GPT) -> None:
    shapes: set[tuple[int, ...]] = set()
    model.blocks[0].register_forward_hook(lambda m, i, o: shapes.add(tuple(o.shape)))
    evaluate_loss(model, split_of(100), batch_size=5)
    assert shapes == {(5, CONTEXT, 16)}


def test_modes_and_random_state_are_left_as_they_were(model: GPT) -> None:
    model.train()
    model.blocks[1].eval()
    modes = [module.training for module in model.modules()]
    before = torch.get_rng_state()
    first = evaluate_loss(model, split_of(50))
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(before, torch.get_rng_state())
    assert evaluate_loss(model, split_of(50)).loss == first.loss
    model(torch.tensor([[1, 2]])).sum().backward()


def test_a_byte_level_model_that_knows_nothing_needs_eight_bits() -> None:
    model = GPT(GPTConfig(vocab_size=256, context_length=8, emb_dim=8, n_heads=1, n_layers=1))
    with torch.no_grad():
        model.lm_head.weight.zero_()
    ids = np.arange(100, dtype=np.uint8)
    result = evaluate_loss(model, TokenSplit.from_array(ids, 100))
    assert result.bits_per_byte == pytest.approx(8.0, rel=1e-6)
    assert result.perplexity == pytest.approx(256.0, rel=1e-5)


def test_a_diverged_model_is_evaluated_without_a_crash(model: GPT) -> None:
    with torch.no_grad():
        model.lm_head.weight.mul_(1e6)
    assert evaluate_loss(model, split_of(50)).perplexity == math.inf
    with torch.no_grad():
        model.lm_head.weight.fill_(math.nan)
    assert math.isnan(evaluate_loss(model, split_of(50)).loss)


@pytest.mark.parametrize(
    ("n_tokens", "settings", "error", "message"),
    [
        (1, {}, DataError, "1 tokens to evaluate"),
        (0, {}, DataError, "0 tokens to evaluate"),
        (9, {"context_length": 9}, UsageError, "context_length = 9: expected 1 to 8"),
        (9, {"context_length": 0}, UsageError, "context_length = 0: expected 1 to 8"),
        (9, {"batch_size": 0}, UsageError, "batch_size = 0"),
    ],
)
def test_bad_requests(
    model: GPT, n_tokens: int, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        evaluate_loss(model, split_of(n_tokens), **settings)


def test_a_result_is_readable() -> None:
    result = Evaluation(loss=1.0, perplexity=2.7, bits_per_byte=1.4, tokens=3, seconds=0.1)
    assert "perplexity=2.7" in repr(result)


LONG = """
import sys
import numpy as np
import torch
from groundup.config import GPTConfig
from groundup.data import TokenSplit
from groundup.device.allocator import keep_freed_memory
from groundup.evaluate import evaluate_loss, loss
from groundup.model import GPT
loss.LOGITS_AT_ONCE = 1 << 23
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20
assert keep_freed_memory()
model = GPT(GPTConfig(vocab_size=4096, context_length=64, emb_dim=16, n_heads=1, n_layers=1))
split = TokenSplit([np.zeros(1 + 64 * 16 * 60, dtype=np.uint16)], 1000)
evaluate_loss(model, split, max_tokens=64 * 16 * 3)
small = [torch.zeros(1) for _ in range(10000)]  # so that no small room is free
before = resident()
evaluate_loss(model, split)
print(resident() - before)
"""


@pytest.mark.skipif(not can_keep_freed_memory(), reason="glibc only")
def test_a_long_text_takes_no_more_memory_than_a_short_one() -> None:
    grown = int(subprocess.check_output([sys.executable, "-c", LONG]))
    assert grown < 100  # MiB: with a hole a batch some 400
