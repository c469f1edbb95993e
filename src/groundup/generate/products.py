"""fp32 products of a matrix with one vector, for which PyTorch's library takes one thread alone.

That is so on a processor that Intel's library does not know; then the rows are shared out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.device.threads import usable_threads

PARTS = 16
LEAST = 1 << 16
"""Weights of a matrix for which it is worth it."""
CLEARLY = 1.2
TRIED, TURNS = 1024, 5
"""Rows and columns of the matrix that is tried, and how often."""


def in_parts(
    out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Callable[[], object] | None:
    """Return a call that writes `F.linear(x, weight, bias)` into `out`, or None: no gain by it."""
    n_columns = weight.shape[1]
    plain = weight.dtype == x.dtype == torch.float32 and weight.is_contiguous()
    worth = plain and x.numel() == n_columns and weight.numel() >= LEAST
    n_threads = usable_threads()
    if not worth or n_threads == 1 or not are_faster(n_threads):
        return None
    return _in_parts(out, x, weight, bias)


def _in_parts(out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> Callable[[], object]:
    n_rows, n_columns = weight.shape
    shared = n_rows - n_rows % PARTS
    vector, filled = x.reshape(-1), out.view(-1)
    vectors = vector.expand(PARTS, 1, n_columns)
    matrices = weight[:shared].view(PARTS, -1, n_columns).transpose(1, 2)
    most = filled[:shared].view(PARTS, 1, -1)
    if bias is None:
        call = partial(torch.bmm, vectors, matrices, out=most)
    else:
        added = bias[:shared].view(PARTS, 1, -1)
        call = partial(torch.baddbmm, added, vectors, matrices, out=most)
    if shared == n_rows:
        return call
    rest, last = weight[shared:], filled[shared:]
    of_rest = partial(torch.mv, rest, vector, out=last)
    if bias is not None:
        of_rest = partial(torch.addmv, bias[shared:], rest, vector, out=last)
    return lambda: (call(), of_rest())


@lru_cache
def are_faster(n_threads: int) -> bool:
    """Try it out: a few products of a matrix, each way in turns. It takes some milliseconds."""
    weight, x = torch.zeros(TRIED, TRIED), torch.zeros(1, TRIED)
    ways: list[Callable[[], object]] = [
        partial(F.linear, x, weight),
        _in_parts(torch.zeros(1, TRIED), x, weight, None),
    ]
    plain, shared = (min(_seconds(way) for _ in range(TURNS)) for way in ways)
    return plain > CLEARLY * shared


def _seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun
