"""Dialogues packed into rows: several side by side, of which none sees another."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from groundup.attend import Mask
from groundup.data.batch import IGNORED, Batch
from groundup.finetune.assistant.mixed_text import MixedText
from groundup.finetune.order import Order
from groundup.generate.replies import Bools, DialogueIds
from groundup.model.attention import NO_CACHE, Cache


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


def shared_beginning(dialogues: Sequence[DialogueIds]) -> tuple[int, Bools]:
    """Return how many ids the dialogues begin with alike, and which of them do (n,).

    As with the same message of the system. Of these ids none is learnt, nor is the next one. A text
    of which all is learnt begins with none, and keeps the others from nothing.
    """
    begins = np.array([int(one.counts.argmax()) > 1 for one in dialogues], np.bool_)
    alike = [one for one, does in zip(dialogues, begins, strict=True) if does]
    n = min((int(one.counts.argmax()) - 1 for one in alike), default=0)
    for one in alike:
        differs = np.flatnonzero(one.ids[:n] != alike[0].ids[:n])
        n = int(differs[0]) if len(differs) else n
    return n, begins if n else np.zeros_like(begins)


class PackedRows:
    """A source of dialogues: a batch is `tokens`, `targets` and `positions` (B, T), `lengths` (B).

    Of each dialogue the tokens but the last one are read, and the next ones are the targets, of
    which those count that a reply has. What all dialogues begin with stands in a row once, in the
    first one; of the others the rest follows, which sees it. Positions are those that each would
    have alone. At the end of a row stands padding, which goes on with its last dialogue and has no
    target that counts; before it stand the tokens that `lengths` counts.

    Rows of a text that is mixed in stand alone, and are other ones in each pass.
    """

    def __init__(
        self,
        dialogues: Sequence[DialogueIds],
        capacity: int,
        batch_size: int,
        seed: int,
        accumulation: int = 1,
        mixed: MixedText | None = None,
    ) -> None:
        self.dialogues, self.mixed = dialogues, mixed
        n_shared, begins = shared_beginning(dialogues)
        self.skipped = n_shared * begins  # of each dialogue, behind the first one of a row
        lengths = np.array([one.n_read for one in dialogues], np.int64) - self.skipped
        self.packs: list[list[int]] = []
        for shared, those in ((n_shared, begins), (0, ~begins)):
            numbers = np.flatnonzero(those)
            packs = packed(lengths[numbers].tolist(), capacity - shared)
            self.packs += [numbers[pack].tolist() for pack in packs]
        filled = [int(lengths[pack].sum() + self.skipped[pack[0]]) for pack in self.packs]
        if mixed is not None:
            filled += [mixed.row_length] * mixed.n_rows
        self.filled = np.array(filled, np.int64)
        self.order = Order(self.filled, batch_size, seed, accumulation)

    @property
    def n_rows(self) -> int:
        """Rows in a pass."""
        return len(self.filled)

    @property
    def n_tokens(self) -> int:
        """Tokens in a pass that are computed, padding not among them."""
        return int(self.filled.sum())

    @property
    def n_targets(self) -> int:
        """Targets that count in a pass."""
        mixed = 0 if self.mixed is None else self.mixed.n_targets
        return sum(one.n_targets for one in self.dialogues) + mixed

    def rows(self, first: int, n: int) -> Batch:
        """Return rows `first` to `first + n - 1`, padded to the longest of them."""
        chosen = self.order.rows(first, n)
        lengths = self.filled[chosen]
        shape = len(chosen), int(lengths.max())
        tokens, positions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        targets = np.full(shape, IGNORED, np.int64)
        for row, number in enumerate(chosen.tolist()):
            begin = 0
            for one, skipped in self._dialogues_of(number, (first + row) // self.n_rows):
                place = np.s_[row, begin : begin + one.n_read - skipped]
                tokens[place], targets[place] = one.ids[skipped:-1], one.targets[skipped:]
                positions[row, begin:] = np.arange(skipped, skipped + shape[1] - begin)
                begin += one.n_read - skipped
        arrays = {"tokens": tokens, "targets": targets, "positions": positions}
        return Batch(arrays | {"lengths": lengths}, int(lengths.sum()))

    def _dialogues_of(self, number: int, turn: int) -> Iterator[tuple[DialogueIds, int]]:
        """Yield what stands in a row in a pass, each with how many ids it does not repeat."""
        if number < len(self.packs):
            first, *others = self.packs[number]
            yield self.dialogues[first], 0
            yield from ((self.dialogues[one], int(self.skipped[one])) for one in others)
        elif self.mixed is not None:
            yield self.mixed.row(turn * self.mixed.n_rows + number - len(self.packs)), 0


class PackedDialogues:
    """Attention within each of the dialogues that share a row: a cache that remembers nothing.

    A dialogue begins where positions do not go on by one. Where its first one is n, what stands at
    the positions before is the beginning of the row: its first n tokens.
    """

    def __init__(self, positions: Int[Tensor, "B T"]) -> None:
        self._positions = positions
        places = torch.arange(positions.shape[1], device=positions.device)
        moved = (positions - places).diff(dim=1, prepend=positions[:, :1] - 1) != 0  # (B, T)
        begins = (moved * places).cummax(dim=1).values  # where the dialogue of each token begins
        shared = positions.gather(1, begins)  # tokens of the row's beginning that each sees
        same = begins[:, :, None] == begins[:, None, :]
        self._sees = (same | (places < shared[:, :, None])).tril()[:, None]  # (B, 1, T, T)
        self._masks: dict[int | None, Mask] = {}

    def positions(self, n_new: int) -> Tensor:
        """Return where each token stands in its dialogue (B, T)."""
        return self._positions

    def mask(self, window: int | None, n_new: int) -> Mask:
        """Let each token see itself and those before it in its dialogue, within the window."""
        if window not in self._masks:
            table = self._sees
            if window is not None:
                far = self._positions[:, None, :, None] - self._positions[:, None, None, :]
                table = table & (far < window)
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
