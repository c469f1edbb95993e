"""Dialogues packed into rows: several side by side, of which none sees another."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from groundup.data.batch import IGNORED, Batch
from groundup.finetune.order import Order
from groundup.generate.replies import DialogueIds
from groundup.model.attention import NO_CACHE, Cache, Mask


def packed(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return which sequences share a row: in each at most `capacity` tokens, in as few as may be.

    Best fit decreasing: the longest first, each into the row that it fills best (Johnson et al.,
    1974: at most 11/9 of the fewest rows, and one). None may be longer than `capacity`.
    """
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # what is left in a row, and its number; sorted
    for number in sorted(range(len(lengths)), key=lambda n: (-lengths[n], n)):
        place = bisect_left(room, (lengths[number], 0))
        if place == len(room):
            rows.append([])
            room.append((capacity, len(rows) - 1))
            place = len(room) - 1
        left, row = room.pop(place)
        rows[row].append(number)
        insort(room, (left - lengths[number], row))
    return rows


class PackedRows:
    """A source of dialogues: a batch is `tokens`, `targets` and `positions` (B, T), `lengths` (B).

    Of each dialogue the tokens but the last one are read, and the next ones are the targets, of
    which those count that a reply has. Positions begin anew with each dialogue. At the end of a row
    stands padding, which goes on with its last dialogue and has no target that counts; before it
    stand the tokens that `lengths` counts.
    """

    def __init__(
        self,
        dialogues: Sequence[DialogueIds],
        capacity: int,
        batch_size: int,
        seed: int,
        accumulation: int = 1,
    ) -> None:
        self.dialogues = dialogues
        self.lengths = np.array([one.n_read for one in dialogues], np.int64)
        self.packs = packed(self.lengths.tolist(), capacity)
        filled = np.array([self.lengths[pack].sum() for pack in self.packs], np.int64)
        self.order = Order(filled, batch_size, seed, accumulation)

    @property
    def n_rows(self) -> int:
        """Rows in a pass."""
        return len(self.packs)

    @property
    def n_tokens(self) -> int:
        """Tokens in a pass, padding not among them."""
        return int(self.lengths.sum())

    @property
    def n_targets(self) -> int:
        """Targets that count in a pass."""
        return sum(one.n_targets for one in self.dialogues)

    def rows(self, first: int, n: int) -> Batch:
        """Return rows `first` to `first + n - 1`, padded to the longest of them."""
        packs = [self.packs[row] for row in self.order.rows(first, n)]
        lengths = [int(self.lengths[pack].sum()) for pack in packs]
        shape = len(packs), max(lengths)
        tokens, positions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        targets = np.full(shape, IGNORED, np.int64)
        for row, pack in enumerate(packs):
            begin = 0
            for one in (self.dialogues[number] for number in pack):
                place = np.s_[row, begin : begin + one.n_read]
                tokens[place], targets[place] = one.ids[:-1], one.targets
                positions[row, begin:] = np.arange(shape[1] - begin)
                begin += one.n_read
        arrays = {"tokens": tokens, "targets": targets, "positions": positions}
        return Batch(arrays | {"lengths": np.array(lengths, np.int64)}, sum(lengths))


class PackedDialogues:
    """Attention within each of the dialogues that share a row: a cache that remembers nothing."""

    def __init__(self, positions: Int[Tensor, "B T"]) -> None:
        self._positions = positions
        self._numbers = (positions == 0).cumsum(dim=1)  # which dialogue of its row, (B, T)
        self._masks: dict[int | None, Mask] = {}

    def positions(self, n_new: int) -> Tensor:
        """Return where each token stands in its dialogue (B, T)."""
        return self._positions

    def mask(self, window: int | None, n_new: int) -> Mask:
        """Let each token see itself and those before it in its dialogue, within the window."""
        if window not in self._masks:
            same = self._numbers[:, None, :, None] == self._numbers[:, None, None, :]
            table = same.tril() if window is None else same.tril().triu(1 - window)
            self._masks[window] = Mask(table, False)
        return self._masks[window]

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return what was given."""
        return key, value

    def advance(self, n_new: int) -> None:
        """Forget."""


def attention_within(positions: Int[Tensor, "B T"]) -> Cache:
    """Return the cache that keeps dialogues apart; none is needed where each has its own row."""
    alone = torch.arange(positions.shape[1], device=positions.device)
    return NO_CACHE if bool((positions == alone).all()) else PackedDialogues(positions)
