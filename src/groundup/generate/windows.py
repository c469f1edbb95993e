"""Which tokens the model sees, and how it reads them: with a cache, or all of them every time.

A model sees at most context_length tokens. When its window is full, the oldest half is dropped
and what remains is read again from position 0, as learned positions require; one such reading
serves the next context_length / 2 tokens. The window follows from the number of tokens alone, so
that a long prompt, a cache and a batch see the same.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.generate.cache import KVCache, PrefillCache
from groundup.generate.cuda_graph import GraphedStep, can_record
from groundup.generate.products import quick_products
from groundup.generate.recorded import NotRecordableError, RecordedStep, can_repeat, can_watch
from groundup.model import GPT, NO_CACHE, Cache

TOKENS_AT_ONCE = 8192
"""Most tokens in one forward pass: it bounds the memory that many long prompts take."""

WORTH_SHARING = 64
"""Tokens at least that are spared where what several rows begin with is read once for all."""

FIRST_RECORDED = 3
"""The token, from 1, at which a step is recorded on a CPU: that takes as long as a few, and the
tuner of threads compares the fifth with the fourth."""

Rows = Sequence[Sequence[int]]
Step = Callable[[Sequence[int]], Tensor]
"""What reads one more token of each row of a cache, and returns the scores of what follows."""

COMPILED: WeakKeyDictionary[GPT, Callable[[GPT, KVCache], Step | None]] = WeakKeyDictionary()
"""What makes the step of a cache of one row, of models that were compiled for it; none where the
model has changed since."""


def n_common(rows: Sequence[list[int]]) -> int:
    """Return how many tokens all rows begin with."""
    # What the first and the last in order have in common, those between have, too.
    low, high = min(rows), max(rows)
    pairs = enumerate(zip(low, high, strict=False))
    return next((n for n, (one, other) in pairs if one != other), min(len(low), len(high)))


def window_start(n_tokens: int, context_length: int) -> int:
    """Return the index of the first of `n_tokens` tokens that the model still sees."""
    half = max(1, context_length // 2)
    excess = max(0, n_tokens - context_length)
    return -(-excess // half) * half


class Reader(Protocol):
    """Turns each row's tokens so far into the scores of its next token."""

    def read(self, rows: Rows) -> Float[Tensor, "B V"]:
        """Return the scores of each row's next token."""

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these of the present rows only."""


class PlainReader:
    """Reads the whole window for every token: slow, and obviously right."""

    def __init__(self, model: GPT) -> None:
        self.model = model

    def read(self, rows: Rows) -> Float[Tensor, "B V"]:
        """Return the scores of each row's next token."""
        context = self.model.config.context_length
        hidden = torch.cat(
            [
                hidden_states(self.model, [window], NO_CACHE)[:, -1]
                for window in (row[window_start(len(row), context) :] for row in rows)
            ]
        )
        with quick_products(self.model):
            scores: Tensor = self.model.lm_head(hidden)
        return scores

    def keep(self, rows: Sequence[int]) -> None:
        """Nothing is remembered, so nothing is forgotten."""


class CachedReader:
    """Reads only each row's last token; the cache remembers what stands before it."""

    def __init__(self, model: GPT, n_rows: int, capacity: int) -> None:
        self.model = model
        self.cache = KVCache(model.config, n_rows, capacity, model.device)
        self._step: GraphedStep | None = None
        self._recorded: RecordedStep | None = None
        self._awaited = FIRST_RECORDED
        made = COMPILED.get(model) if n_rows == 1 else None
        self._compiled = made and made(model, self.cache)

    def read(self, rows: Rows) -> Float[Tensor, "B V"]:
        """Return the scores of each row's next token; the next reading may overwrite them."""
        self._prefill(rows)
        # A graph is recorded over the cache's buffers, which the first reading makes.
        if self.cache.buffers and can_record(self.model.config, self.model.device):
            self._step = self._step or GraphedStep(self.model, self.cache)
            recorded = self._step([row[-1] for row in rows], self.cache.lengths)
            self.cache.advance(1)
            return recorded
        return self.read_one([row[-1] for row in rows])

    def read_one(self, tokens: Sequence[int]) -> Float[Tensor, "B V"]:
        """Return the scores of what follows one more token of each row, which is read now."""
        if self._compiled and can_repeat(self.cache):
            return self._compiled(tokens)
        if self._may_repeat():
            try:
                self._recorded = self._recorded or RecordedStep(self.model, self.cache)
                return self._recorded(tokens)
            except NotRecordableError:
                self._awaited = -1
        return scores_of(self.model, [[token] for token in tokens], self.cache)[:, -1]

    def _may_repeat(self) -> bool:
        """Tell whether this token is read by a recorded step; the first few are not worth one."""
        self._awaited -= self._awaited > 0
        if self._awaited or not can_repeat(self.cache):
            return False
        if self._recorded is None and not can_watch(self.model):
            self._awaited = -1
        elif self._recorded is not None and self._recorded.is_outdated():
            self._forget()
        return self._awaited == 0

    def _forget(self) -> None:
        """Record anew, after as many tokens as at first: it may happen again soon."""
        self._step = self._recorded = None
        self._awaited = FIRST_RECORDED if self._awaited >= 0 else -1

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these of the present rows only."""
        self.cache.keep(rows)
        self._forget()  # it was recorded over other buffers

    def _prefill(self, rows: Rows) -> None:
        """Read the rows that were never read, or whose window has moved, up to their last token."""
        context = self.model.config.context_length
        starts = [window_start(len(row), context) for row in rows]
        lengths = [len(row) - 1 - start for row, start in zip(rows, starts, strict=True)]
        stale = [i for i, length in enumerate(lengths) if 0 < length != self.cache.lengths[i]]
        windows = {i: list(rows[i][starts[i] : -1]) for i in stale}
        n_shared = self._read_shared(windows)
        unread = [i for i in stale if lengths[i] > n_shared]
        at_once = max(1, TOKENS_AT_ONCE // max(1, *lengths))
        for first in range(0, len(unread), at_once):
            group = unread[first : first + at_once]
            rest = [windows[i][n_shared:] for i in group]
            filled = PrefillCache(self.cache, group, n_shared, [lengths[i] for i in group])
            hidden_states(self.model, rest, filled)
        self.cache.set_lengths(lengths)

    def _read_shared(self, windows: Mapping[int, list[int]]) -> int:
        """Read what all windows begin with once, for all of them; return how many tokens that is.

        None, where too few would be saved for another pass over the weights.
        """
        if len(windows) < 2:
            return 0
        n_shared = n_common(list(windows.values()))
        if n_shared * (len(windows) - 1) < WORTH_SHARING:
            return 0
        first, *others = windows
        shared = windows[first][:n_shared]
        hidden_states(self.model, [shared], PrefillCache(self.cache, [first]))
        self.cache.copy(first, others, n_shared)
        return n_shared


def hidden_states(model: GPT, rows: Rows, cache: Cache) -> Float[Tensor, "B T D"]:
    """Run the model on `rows`, the shorter ones padded on the right."""
    longest = max(map(len, rows))
    tokens = [[*row, *[0] * (longest - len(row))] for row in rows]
    with quick_products(model):
        return model.hidden_states(torch.tensor(tokens, device=model.device), cache)


def scores_of(model: GPT, rows: Rows, cache: Cache) -> Float[Tensor, "B T V"]:
    """Return the scores of what follows each token of `rows`."""
    hidden = hidden_states(model, rows, cache)
    with quick_products(model):
        scores: Tensor = model.lm_head(hidden)
    return scores


def without_compiling() -> AbstractContextManager[Any]:
    """Let a compiled model run as written: the growing cache would compile it again each step.

    Where nothing has loaded the compiler, nothing is compiled, and loading it takes a second.
    """
    if "torch._dynamo" not in sys.modules:
        return contextlib.nullcontext()
    eager: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return eager
