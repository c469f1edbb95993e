"""The key-value cache: what attention needs of the tokens read so far, for every layer.

Row b of the batch keeps the token of position p in column p. Rows of different lengths therefore
need no padding on the left: "look at your own position and those before it" hides whatever stands
to the right of a row's last token, and the next token overwrites it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from groundup.config import GPTConfig
from groundup.model import NO_CACHE, Mask

Write = Callable[[Tensor, Tensor], None]
"""Puts new keys or values (B, K, T, H) into their places in a buffer."""


def _in_columns(rows: slice | Tensor, columns: slice, buffer: Tensor, new: Tensor) -> None:
    buffer[rows, :, columns] = new


def _in_places(rows: Tensor, positions: Tensor, buffer: Tensor, new: Tensor) -> None:
    buffer[rows, :, positions] = new.transpose(1, 2)  # (B, T, K, H), as such an index has it


class _Step(NamedTuple):
    """Where the next tokens go, worked out once for all layers."""

    positions: slice | Tensor
    write: Write
    n_seen: int


class KVCache:
    """Keys and values of `n_rows` sequences, in static buffers of `capacity` tokens each.

    The two buffers of a layer, (B, K, capacity, H), are made when its first keys come, in their
    number format: 2 x n_layers x n_kv_heads x head_dim values for each of n_rows x capacity tokens.
    """

    def __init__(
        self, config: GPTConfig, n_rows: int, capacity: int, device: torch.device | str = "cpu"
    ) -> None:
        self.config = config
        self.capacity = capacity
        self.device = device
        self.lengths = [0] * n_rows
        self.buffers: dict[int, tuple[Tensor, Tensor]] = {}
        self._steps: dict[int, _Step] = {}
        self._masks: dict[tuple[int | None, int], Mask] = {}

    def positions(self, n_new: int) -> slice | Tensor:
        """Return the positions of the next `n_new` tokens: shared, or (B, T) where rows differ."""
        return self._step(n_new).positions

    def mask(self, window: int | None, n_new: int) -> Mask:
        """Let each new token see itself and those before it, as far as the window reaches."""
        if (window, n_new) not in self._masks:
            self._masks[window, n_new] = self._mask(window, n_new)
        return self._masks[window, n_new]

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store the new keys and values (B, K, T, H) and return all of them (B, K, S, H)."""
        step = self._step(key.shape[2])
        return self.store(layer, step.write, key, value, step.n_seen)

    def advance(self, n_new: int) -> None:
        """Move every row on by `n_new` tokens."""
        self.set_lengths([length + n_new for length in self.lengths])

    def store(
        self, layer: int, write: Write, key: Tensor, value: Tensor, n_seen: int
    ) -> tuple[Tensor, Tensor]:
        """Write into a layer's buffers and return their first `n_seen` columns."""
        if layer not in self.buffers:  # a layer may not attend at all
            self.buffers[layer] = self._buffer(key), self._buffer(value)
        keys, values = self.buffers[layer]
        write(keys, key)
        write(values, value)
        return keys[:, :, :n_seen], values[:, :, :n_seen]

    def _buffer(self, like: Tensor) -> Tensor:
        _, n_heads, _, head_dim = like.shape
        # Zeros: what is not yet written gets weight 0, and 0 times leftover bits may be NaN.
        return like.new_zeros(len(self.lengths), n_heads, self.capacity, head_dim)

    def set_lengths(self, lengths: list[int]) -> None:
        """Let row b hold `lengths[b]` tokens; what was stored beyond is forgotten."""
        self.lengths = lengths
        self._steps.clear()
        self._masks.clear()

    def keep(self, rows: Sequence[int]) -> None:
        """Forget every row that is not in `rows`."""
        index = torch.tensor(rows, device=self.device)
        self.buffers = {
            layer: (keys[index], values[index]) for layer, (keys, values) in self.buffers.items()
        }
        self.set_lengths([self.lengths[row] for row in rows])

    def copy(self, source: int, rows: Sequence[int], n_tokens: int) -> None:
        """Let `rows` hold the keys and values of the first `n_tokens` tokens of row `source`."""
        index = torch.tensor(rows, device=self.device)
        for buffer in itertools.chain(*self.buffers.values()):
            buffer[index, :, :n_tokens] = buffer[source, :, :n_tokens]

    def _step(self, n_new: int) -> _Step:
        if n_new not in self._steps:
            longest = max(self.lengths)
            if longest + n_new > self.capacity:
                raise ValueError(
                    f"{longest} + {n_new} tokens do not fit a cache of {self.capacity}"
                )
            even = min(self.lengths) == longest
            self._steps[n_new] = self._even(n_new) if even else self._ragged(n_new)
        return self._steps[n_new]

    def _mask(self, window: int | None, n_new: int) -> Mask:
        step, longest = self._step(n_new), max(self.lengths)
        if longest == 0:
            return NO_CACHE.mask(window, n_new)
        even = isinstance(step.positions, slice)
        if even and n_new == 1 and (window is None or step.n_seen <= window):
            return Mask(None, False)  # a single new token sees everything
        seen = torch.arange(step.n_seen, device=self.device)
        if isinstance(step.positions, slice):
            own = seen[step.positions, None]  # (T, 1)
        else:
            own = step.positions[:, None, :, None]  # (B, 1, T, 1)
        return Mask(seen_from(own, seen, window), False)

    def _even(self, n_new: int) -> _Step:
        """All rows have the same length: slices do."""
        first = self.lengths[0]
        new = slice(first, first + n_new)
        return _Step(new, partial(_in_columns, slice(None), new), new.stop)

    def _ragged(self, n_new: int) -> _Step:
        """Each row goes on from its own length."""
        lengths = torch.tensor(self.lengths, device=self.device)
        positions = lengths[:, None] + torch.arange(n_new, device=self.device)  # (B, T)
        rows = torch.arange(len(self.lengths), device=self.device)[:, None]
        write = partial(_in_places, rows, positions)
        return _Step(positions, write, max(self.lengths) + n_new)


class PrefillCache:
    """Fills some rows of a `KVCache` from position `start`, many tokens at a time (prefill).

    What stands before `start` they hold already. Rows of different lengths come padded on the
    right, where causality hides the padding.
    """

    def __init__(self, cache: KVCache, rows: Sequence[int], start: int = 0) -> None:
        self.cache = cache
        self.rows = torch.tensor(rows, device=cache.device)
        self.start = start

    def positions(self, n_new: int) -> slice:
        """Return the `n_new` positions from `start` on."""
        return slice(self.start, self.start + n_new)

    def mask(self, window: int | None, n_new: int) -> Mask:
        """Let each token see itself and those before it, as far as the window reaches."""
        if not self.start:
            return NO_CACHE.mask(window, n_new)
        seen = torch.arange(self.start + n_new, device=self.cache.device)
        own = seen[self.start :, None]  # (T, 1)
        return Mask(seen_from(own, seen, window), False)

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store the keys and values (B, K, T, H) in their rows and return all of these rows."""
        new = self.positions(key.shape[2])
        write = partial(_in_columns, self.rows, new)
        keys, values = self.cache.store(layer, write, key, value, new.stop)
        return (keys[self.rows], values[self.rows]) if self.start else (key, value)

    def advance(self, n_new: int) -> None:
        """Leave the lengths to the caller, who knows where the padding begins."""


def seen_from(own: Tensor, seen: Tensor, window: int | None) -> Tensor:
    """Return whether the token at position `own` sees the one at `seen`."""
    allowed = seen <= own
    return allowed if window is None else allowed & (seen > own - window)
