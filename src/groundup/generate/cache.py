"""The key-value cache: what attention needs of the tokens read so far, for every layer.

Row b of the batch keeps the token of position p in column p. Rows of different lengths therefore
need no padding on the left: "look at your own position and those before it" hides whatever stands
to the right of a row's last token, and the next token overwrites it. A layer with a window keeps a
ring instead, where that is shorter (see `ring`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from groundup.config import GPTConfig, foreign_parts
from groundup.generate import ring
from groundup.model import NO_CACHE, Mask

Store = Callable[[Tensor, Tensor], Tensor]
"""Puts new keys or values (B, K, T, H) into their places in a buffer, and returns all (B, K, S, H)
that the new tokens see."""


def _in_columns(
    rows: slice | Tensor, columns: slice, n_seen: int, buffer: Tensor, new: Tensor
) -> Tensor:
    buffer[rows, :, columns] = new
    return buffer[:, :, :n_seen]


def _in_places(rows: Tensor, positions: Tensor, n_seen: int, buffer: Tensor, new: Tensor) -> Tensor:
    buffer[rows, :, positions] = new.transpose(1, 2)  # (B, T, K, H), as such an index has it
    return buffer[:, :, :n_seen]


def _through_ring(
    rows: Tensor, own: Tensor, ends: Tensor, before: Tensor | None, buffer: Tensor, new: Tensor
) -> Tensor:
    seen = new if before is None else ring.with_older(buffer, rows, new, before)
    ring.write_newest(buffer, rows, new, own, ends)
    return seen


class _Step(NamedTuple):
    """Where the next tokens go, worked out once for all layers with the same window."""

    positions: slice | Tensor
    store: Store
    n_seen: int


class KVCache:
    """Keys and values of `n_rows` sequences, in static buffers of `capacity` tokens each.

    The two buffers of a layer, (B, K, capacity, H), are made when its first keys come, in their
    number format: 2 x n_layers x n_kv_heads x head_dim values for each of n_rows x capacity tokens.
    Those of a layer with a window are no longer than `n_columns` says.
    """

    def __init__(
        self, config: GPTConfig, n_rows: int, capacity: int, device: torch.device | str = "cpu"
    ) -> None:
        self.config = config
        self.capacity = capacity
        self.device = device
        self.lengths = [0] * n_rows
        self.buffers: dict[int, tuple[Tensor, Tensor]] = {}
        self.own_parts = not foreign_parts(config)
        self.ends = [0] * n_rows
        """One beyond the farthest token that each row's rings hold."""
        self._steps: dict[tuple[int, int], _Step] = {}
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
        """Store the new keys and values (B, K, T, H) and return all of them (B, K, S, H).

        Of a layer with a window all that the new tokens see.
        """
        step = self._step(key.shape[2], self.config.window_of(layer))
        keys, values = self.buffers_of(layer, key, value)
        return step.store(keys, key), step.store(values, value)

    def advance(self, n_new: int) -> None:
        """Move every row on by `n_new` tokens."""
        lengths = [length + n_new for length in self.lengths]
        self.ends = [max(pair) for pair in zip(self.ends, lengths, strict=True)]
        self.set_lengths(lengths)

    def n_columns(self, window: int | None) -> int:
        """Return how many tokens of a row a layer with this window holds: all, or a ring's.

        A part of somebody's own may ask for another mask than its layer's window is.
        """
        if window is None or not self.own_parts:
            return self.capacity
        return min(self.capacity, window + ring.SLACK)

    def buffers_of(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return the buffers of a layer, made when its first keys come: it may not attend at all.

        Zeros: what is not yet written gets weight 0, and 0 times leftover bits may be NaN.
        """
        if layer not in self.buffers:
            n_rows, n_columns = len(self.lengths), self.n_columns(self.config.window_of(layer))
            self.buffers[layer] = (
                key.new_zeros(n_rows, key.shape[1], n_columns, key.shape[3]),
                value.new_zeros(n_rows, value.shape[1], n_columns, value.shape[3]),
            )
        return self.buffers[layer]

    def holds(self, row: int, length: int) -> bool:
        """Tell whether a row may go back to `length` tokens: no ring has lost what these see."""
        is_ring = any(keys.shape[2] < self.capacity for keys, _ in self.buffers.values())
        return length == 0 or not is_ring or length >= self.ends[row] - ring.SLACK

    def set_lengths(self, lengths: list[int]) -> None:
        """Let row b hold `lengths[b]` tokens; what was stored beyond is forgotten.

        Raises `ValueError` where a ring has already overwritten what these see.
        """
        for row, length in enumerate(lengths):
            if not self.holds(row, length):
                raise ValueError(
                    f"row {row} held {self.ends[row]} tokens and cannot go back to {length}: a "
                    f"window's ring keeps {ring.SLACK} more than it sees; read the row again"
                )
        self.ends = [end if n else 0 for end, n in zip(self.ends, lengths, strict=True)]
        self.lengths = lengths
        self._steps.clear()
        self._masks.clear()

    def keep(self, rows: Sequence[int]) -> None:
        """Forget every row that is not in `rows`."""
        index = torch.tensor(rows, device=self.device)
        self.buffers = {
            layer: (keys[index], values[index]) for layer, (keys, values) in self.buffers.items()
        }
        self.ends = [self.ends[row] for row in rows]
        self.set_lengths([self.lengths[row] for row in rows])

    def copy(self, source: int, rows: Sequence[int], n_tokens: int) -> None:
        """Let `rows` hold the keys and values of the first `n_tokens` tokens of row `source`.

        It has read no others, or no more than a ring's slack.
        """
        index = torch.tensor(rows, device=self.device)
        for buffer in itertools.chain(*self.buffers.values()):
            buffer[index, :, :n_tokens] = buffer[source, :, :n_tokens].clone()
        for row in rows:
            self.ends[row] = self.ends[source]

    def _step(self, n_new: int, window: int | None = None) -> _Step:
        size = self.n_columns(window)
        if (n_new, size) not in self._steps:
            longest = max(self.lengths)
            if longest + n_new > self.capacity:
                raise ValueError(
                    f"{longest} + {n_new} tokens do not fit a cache of {self.capacity}"
                )
            even = min(self.lengths) == longest
            if size < self.capacity and window is not None:
                made = self._ring(n_new, window, size)
            else:
                made = self._even(n_new) if even else self._ragged(n_new)
            self._steps[n_new, size] = made
        return self._steps[n_new, size]

    def _mask(self, window: int | None, n_new: int) -> Mask:
        step, longest = self._step(n_new), max(self.lengths)
        if longest == 0:
            return NO_CACHE.mask(window, n_new)
        even = isinstance(step.positions, slice)
        if even and n_new == 1 and (window is None or step.n_seen <= window):
            return Mask(None, False)  # a single new token sees everything
        size = self.n_columns(window)
        if size < self.capacity and window is not None:
            own = self._own(n_new)
            seen = torch.cat([ring.older(own[:, :1], window), own], dim=1)
            if n_new <= ring.SLACK:
                seen = ring.held(own[:, -1:], size, min(step.n_seen, size))
            return Mask(ring.seen_from(own[:, None, :, None], seen[:, None, None], window), False)
        seen = torch.arange(step.n_seen, device=self.device)
        if isinstance(step.positions, slice):
            own = seen[step.positions, None]  # (T, 1)
        else:
            own = step.positions[:, None, :, None]  # (B, 1, T, 1)
        return Mask(ring.seen_from(own, seen, window), False)

    def _even(self, n_new: int) -> _Step:
        """All rows have the same length: slices do."""
        first = self.lengths[0]
        new = slice(first, first + n_new)
        return _Step(new, partial(_in_columns, slice(None), new, new.stop), new.stop)

    def _ragged(self, n_new: int) -> _Step:
        """Each row goes on from its own length."""
        positions, n_seen = self._own(n_new), max(self.lengths) + n_new
        rows = torch.arange(len(self.lengths), device=self.device)[:, None]
        return _Step(positions, partial(_in_places, rows, positions, n_seen), n_seen)

    def _ring(self, n_new: int, window: int, size: int) -> _Step:
        """Few tokens are written before all of the ring is read; before many, what is older is."""
        own, n_seen = self._own(n_new), max(self.lengths) + n_new
        rows, store = torch.arange(len(own), device=self.device), None
        if n_new <= ring.SLACK:
            n_columns = min(n_seen, size)
            store = partial(_in_places, rows[:, None], own % size, n_columns)
            if n_new == 1 and min(self.lengths) == max(self.lengths):
                column = self.lengths[0] % size
                new = slice(column, column + 1)
                store = partial(_in_columns, slice(None), new, n_columns)
        else:
            before = ring.older(own[:, :1], window) if max(self.lengths) else None
            store = partial(_through_ring, rows, own, own[:, -1:] + 1, before)
        return _Step(own, store, n_seen)

    def _own(self, n_new: int) -> Tensor:
        """Return the positions of each row's next tokens (B, T)."""
        lengths = torch.tensor(self.lengths, device=self.device)
        return lengths[:, None] + torch.arange(n_new, device=self.device)


class PrefillCache:
    """Fills some rows of a `KVCache` from position `start`, many tokens at a time (prefill).

    What stands before `start` they hold already. Rows of different lengths come padded on the
    right, where causality hides the padding; `lengths` are how many tokens each will then hold.
    """

    def __init__(
        self,
        cache: KVCache,
        rows: Sequence[int],
        start: int = 0,
        lengths: Sequence[int] | None = None,
    ) -> None:
        self.cache = cache
        self.numbers, self.lengths = rows, lengths
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
        if window is not None and self.cache.n_columns(window) < self.cache.capacity:
            seen = torch.cat([ring.older(own[:1], window)[0], own[:, 0]])
        return Mask(ring.seen_from(own, seen, window), False)

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store the keys and values (B, K, T, H) in their rows and return all of these rows."""
        window, new = self.cache.config.window_of(layer), self.positions(key.shape[2])
        buffers = self.cache.buffers_of(layer, key, value)
        if window is not None and self.cache.n_columns(window) < self.cache.capacity:
            keys, values = map(self._through_ring(window, new), buffers, (key, value))
            return keys, values
        store = partial(_in_columns, self.rows, new, new.stop)
        keys, values = map(store, buffers, (key, value))
        return (keys[self.rows], values[self.rows]) if self.start else (key, value)

    def _through_ring(self, window: int, new: slice) -> Store:
        own = torch.arange(new.start, new.stop, device=self.cache.device).expand(len(self.rows), -1)
        ends = torch.tensor(self._ends(new.stop), device=self.cache.device)[:, None]
        before = ring.older(own[:, :1], window) if self.start else None
        return partial(_through_ring, self.rows, own, ends, before)

    def _ends(self, stop: int) -> Sequence[int]:
        return [stop] * len(self.numbers) if self.lengths is None else self.lengths

    def advance(self, n_new: int) -> None:
        """Leave the lengths to the caller, who knows where the padding begins."""
        for row, end in zip(self.numbers, self._ends(self.start + n_new), strict=True):
            self.cache.ends[row] = end
