"""Attention by blocks, of windows and bounded scores, against one readable step at a time."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from groundup.attend import CAUSAL, Mask, blockwise, fused_attention, plain_attention, soft_cap
from groundup.attend.soft_cap import Cap, uncapped

Given = tuple[Tensor, Tensor, Tensor]

CAPS = {"capped": soft_cap(2.0), "uncapped": uncapped}
MASKS: dict[str, Callable[[int], Mask]] = {
    "causal": lambda n: CAUSAL,
    "window 1": lambda n: Mask(None, True, 1),
    "window 7": lambda n: Mask(None, True, 7),
    "window 40": lambda n: Mask(None, True, 40),
    "all but one": lambda n: Mask(None, True, n - 1),
    "larger": lambda n: Mask(None, True, n + 3),
    # As caches give them: rows that go on from lengths of their own, what is padded unseen.
    "table": lambda n: Mask(
        (torch.arange(n) <= torch.arange(n)[:, None] - torch.tensor([0, 5])[:, None, None, None])
        | torch.eye(n, dtype=torch.bool),
        False,
    ),
    "later rows": lambda n: Mask(None, True, None, 5),
    "later rows, window 7": lambda n: Mask(None, True, 7, 5),
    "window 7 and all that follows": lambda n: Mask(None, False, 7),
    "one row for all": lambda n: Mask(torch.arange(n).expand(2, 1, 1, n) < n - 3, False),
}


@pytest.fixture(autouse=True)
def few_scores_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that there are several chunks, the last one shorter, and several blocks."""
    monkeypatch.setitem(blockwise.SCORES_AT_ONCE, "cpu", 4 * 100 * 11)
    monkeypatch.setattr(blockwise, "BLOCK", 16)


def _given(n: int, n_keys: int = 2, dtype: torch.dtype = torch.float32) -> Given:
    query, key, value = (
        torch.randn(2, n, heads, 8, dtype=dtype).transpose(1, 2) for heads in (4, n_keys, n_keys)
    )
    return query.requires_grad_(), key.requires_grad_(), value.requires_grad_()


def _with_gradients(attend: Callable[..., Tensor], given: Given, *how: Any) -> list[Tensor]:
    output = attend(*given, *how)
    weights = torch.linspace(-1, 1, output.numel()).view_as(output)
    return [output, *torch.autograd.grad((output * weights).sum(), given)]


@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize(("n", "n_keys"), [(100, 2), (47, 4), (41, 1)])
def test_the_same_numbers_and_gradients(cap: str, name: str, n: int, n_keys: int) -> None:
    given, how = _given(n, n_keys), (MASKS[name](n), 0.0, 0.3, CAPS[cap])
    expected = _with_gradients(plain_attention, given, *how)
    for one, other in zip(_with_gradients(fused_attention, given, *how), expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_no_texts_at_all() -> None:
    query, key, value = _given(41)
    given = query[:0], key[:0], value[:0]
    for attend in (fused_attention, plain_attention):
        found = _with_gradients(attend, given, CAUSAL, 0.0, 0.3, soft_cap(2.0))
        assert [len(x) for x in found] == [0] * 4


def test_shapes_are_known_without_numbers() -> None:
    given = torch.empty(2, 4, 41, 8, device="meta")
    for how in ((CAUSAL, 0.0, 0.3, soft_cap(2.0)), (Mask(None, True, 7),)):
        assert fused_attention(given, given, given, *how).shape == given.shape


def test_autocast_leaves_fp64_as_it_is() -> None:
    given = _given(41, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        found = fused_attention(*given, CAUSAL)
    torch.testing.assert_close(found, plain_attention(*given, CAUSAL), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("name", ["causal", "window 7", "window 40", "table"])
def test_under_autocast_within_its_rounding(cap: str, name: str) -> None:
    given, how = _given(100), (MASKS[name](100), 0.0, 0.3, CAPS[cap])
    expected = _with_gradients(plain_attention, given, *how)
    with torch.autocast("cpu", torch.bfloat16):
        found = _with_gradients(fused_attention, given, *how)
    for one, other in zip(found, expected, strict=True):
        error = (one.float() - other).norm() / other.norm()
        assert error < 0.01


@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("name", ["causal", "window 7", "window 40", "table"])
def test_checkpointed_once_more_the_same_bits(cap: str, name: str) -> None:
    given, how = _given(100), (MASKS[name](100), 0.0, 0.3, CAPS[cap])

    def again(*arguments: Any) -> Tensor:
        output: Tensor = checkpoint(fused_attention, *arguments, use_reentrant=False)
        return output

    found = [_with_gradients(attend, given, *how) for attend in (fused_attention, again)]
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("name", ["causal", "window 7", "window 40", "table"])
def test_dropout_is_the_same_on_the_way_back(cap: str, name: str) -> None:
    """Output is linear in the values; so its sum is that of each value times its gradient."""
    query, key, value = _given(100)
    output = fused_attention(query, key, value, MASKS[name](100), 0.5, 0.3, CAPS[cap])
    output.sum().backward()
    assert value.grad is not None
    torch.testing.assert_close((value * value.grad).sum(), output.sum(), atol=1e-3, rtol=1e-4)
    whole = fused_attention(query, key, value, MASKS[name](100), 0.0, 0.3, CAPS[cap])
    assert not torch.allclose(output, whole)


def test_a_limit_of_zero_bounds_nothing() -> None:
    given = _given(60)
    found = [_with_gradients(fused_attention, given, Mask(None, True, 7), 0.0, 0.3, cap)
             for cap in (uncapped, Cap(0.0))]  # fmt: skip
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("cap", CAPS)
def test_dropout_leaves_the_mean(cap: str) -> None:
    given, mask = _given(60), Mask(None, True, 7)
    with torch.no_grad():
        mean = torch.stack(
            [fused_attention(*given, mask, 0.3, 0.3, CAPS[cap]) for _ in range(400)]
        ).mean(0)
        assert (mean - plain_attention(*given, mask, 0.0, 0.3, CAPS[cap])).abs().mean() < 0.05


@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("name", ["causal", "window 7", "window 40"])
def test_what_is_kept_grows_with_the_context_alone(cap: str, name: str) -> None:
    kept = [_kept(MASKS[name](n), CAPS[cap], n) for n in (128, 256, 512)]
    for fewer, more in itertools.pairwise(kept):
        assert more < 2.3 * fewer


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")
def test_compiled_steps_with_windows_and_caps_are_the_eager_ones() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.model.compiled_steps"],
        cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    difference, n_compiled, breaks = json.loads(done.stdout.splitlines()[-1])
    assert difference < 1e-5
    assert n_compiled > 0
    assert not breaks


def _kept(mask: Mask, cap: Cap, n: int) -> int:
    seen: dict[int, int] = {}
    alive = []

    def keep(tensor: Tensor) -> Tensor:
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        alive.append(tensor)
        return tensor

    given = _given(n)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = fused_attention(*given, mask, 0.0, 0.3, cap)
    return sum(seen.values()) + output.nbytes
