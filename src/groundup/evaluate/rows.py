"""Several continuations in one row of tokens: their common prefix is read once.

A row holds the common prefix of some requests, then the rest of each, a branch. A branch attends to
the prefix and to itself; its positions go on from the prefix's end. So every token is computed
exactly as if its request stood alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from groundup.base.errors import DataError
from groundup.model import NO_CACHE, Cache, Mask

Ids = npt.NDArray[np.int64]

SHARED, PADDING = 0, -1
"""What the tokens that belong to no single branch are labelled with; branches count from 1."""


class Request(NamedTuple):
    """How likely is `continuation` after `context`? Both are token ids; neither is empty."""

    context: Sequence[int]
    continuation: Sequence[int]


@dataclass(frozen=True)
class Row:
    """Requests that are read together; their first `n_shared` inputs are the same."""

    n_shared: int
    inputs: list[Ids]
    targets: list[Ids]

    def __len__(self) -> int:
        return self.n_shared + sum(len(own) - self.n_shared for own in self.inputs)

    def joined_by(self, other: Row) -> Row | None:
        """Return both as one row, or None where that would save too little.

        In a row of many requests with one common token, attention costs more than that token saves.
        """
        n_shared = common_prefix(self.inputs[0][: self.n_shared], other.inputs[0])
        inputs = [*self.inputs, *other.inputs]
        joined = Row(n_shared, inputs, [*self.targets, *other.targets])
        saved = len(self) + len(other) - len(joined)
        return joined if 8 * saved >= len(other) else None

    def layout(self) -> tuple[Ids, Ids, Ids, Ids]:
        """Return the row's tokens, their positions and branches (T,), and where it is to predict.

        The last holds the column from which each target is predicted, request after request.
        """
        n, first = self.n_shared, self.inputs[0]
        tokens, positions = [first[:n]], [np.arange(n)]
        branches, columns = [np.full(n, SHARED)], []
        end = n
        for number, (own, targets) in enumerate(zip(self.inputs, self.targets, strict=True), 1):
            rest = np.arange(n, len(own))
            tokens.append(own[n:])
            positions.append(rest)
            branches.append(np.full(len(rest), number))
            places = np.arange(len(own) - len(targets), len(own))
            columns.append(np.where(places < n, places, places + end - n))
            end += len(rest)
        joined = [np.concatenate(parts) for parts in (tokens, positions, branches, columns)]
        return joined[0], joined[1], joined[2], joined[3]


def row_of(request: Request, context_length: int) -> Row:
    """Return a row of one request, cut on the left to what the model can see.

    Every token but the last is read and predicts the next. Raises `DataError` for a context that
    is empty, and for a continuation that is empty or longer than context_length.
    """
    context, continuation = request
    if not context:
        raise DataError("a context without tokens: nothing predicts what follows; give some text")
    if not 0 < len(continuation) <= context_length:
        raise DataError(
            f"a continuation of {len(continuation)} tokens: expected 1 to {context_length}, all "
            "that the model sees at once; choose a model with a longer context, or a tokenizer "
            "with longer tokens"
        )
    inputs = np.array([*context, *continuation][-context_length - 1 : -1], dtype=np.int64)
    return Row(len(inputs), [inputs], [np.array(continuation, dtype=np.int64)])


def rows_of(requests: Iterable[Request], context_length: int) -> list[Row]:
    """Return rows that hold all requests, in order; neighbours with a common prefix share it."""
    rows: list[Row] = []
    for request in requests:
        row = row_of(request, context_length)
        joined = rows[-1].joined_by(row) if rows else None
        if joined is None or len(joined) > context_length:
            rows.append(row)
        else:
            rows[-1] = joined
    return rows


def common_prefix(one: Ids, other: Ids) -> int:
    """Return how many tokens two sequences have in common from their start."""
    n = min(len(one), len(other))
    different = np.flatnonzero(one[:n] != other[:n])
    return int(different[0]) if len(different) else n


@dataclass(frozen=True)
class RowBatch:
    """Rows as the model takes them: padded on the right, where nothing looks at the padding."""

    tokens: Int[Tensor, "B T"]
    cache: Cache
    places: Int[Tensor, " M"]
    """Where in the flattened (B * T) each target is predicted."""
    targets: Int[Tensor, " M"]


def batch_of(rows: Sequence[Row], device: torch.device) -> RowBatch:
    """Return rows as one padded batch."""
    longest = max(map(len, rows))
    tokens, positions, branches = (
        np.full((len(rows), longest), value, dtype=np.int64) for value in (0, 0, PADDING)
    )
    places = []
    for i, row in enumerate(rows):
        laid = row.layout()
        for table, values in zip((tokens, positions, branches), laid[:3], strict=True):
            table[i, : len(row)] = values
        places.append(laid[3] + i * longest)
    targets = [target for row in rows for target in row.targets]
    branching = any(len(row.inputs) > 1 for row in rows)

    def moved(array: Ids) -> Tensor:
        return torch.from_numpy(array).to(device)

    return RowBatch(
        moved(tokens),
        Branches(moved(positions), moved(branches)) if branching else NO_CACHE,
        moved(np.concatenate(places)),
        moved(np.concatenate(targets)),
    )


class Branches:
    """A cache without a memory; its mask lets a token see its own branch and the shared prefix."""

    def __init__(self, positions: Int[Tensor, "B T"], branches: Int[Tensor, "B T"]) -> None:
        self._positions = positions
        self._branches = branches
        self._masks: dict[int | None, Mask] = {}  # layers with the same window share one

    def positions(self, n_new: int) -> Tensor:
        """Return each token's distance from the start of its request."""
        return self._positions

    def mask(self, window: int | None, n_new: int) -> Mask:
        """Return which token may attend to which, as far as the window reaches."""
        if window not in self._masks:
            own, seen = self._positions[:, None, :, None], self._positions[:, None, None, :]
            branch, other = self._branches[:, None, :, None], self._branches[:, None, None, :]
            allowed = ((other == SHARED) | (other == branch)) & (seen <= own)  # (B, 1, T, T)
            if window is not None:
                allowed &= seen > own - window
            self._masks[window] = Mask(allowed, False)
        return self._masks[window]

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return what was given."""
        return key, value

    def advance(self, n_new: int) -> None:
        """Nothing is stored."""
