"""What a step learns from: a batch of named arrays, and the sources that batches come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from groundup.base.errors import DataError

IGNORED = -100
"""A target that does not count (padding, or a prompt that is not to be learnt)."""


@dataclass(frozen=True)
class Batch:
    """Rows to learn from together.

    `arrays` are the keyword arguments of a step, by their names; the first dimension of each is
    the row. `n_tokens` is how many tokens the rows hold, padding not among them.
    """

    arrays: Mapping[str, npt.NDArray[Any]]
    n_tokens: int

    def __post_init__(self) -> None:
        for name, array in self.arrays.items():
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
                found = getattr(array, "dtype", "no dtype")
                raise DataError(
                    f"{name} of a batch is a {type(array).__name__} of {found}: expected a numpy "
                    "array of numbers"
                )
        rows = {array.shape[:1] for array in self.arrays.values()}
        if len(rows) != 1 or () in rows:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in self.arrays.items())
            raise DataError(
                f"a batch of {shapes or 'no arrays'}: expected arrays with as many rows each"
            )
        if not isinstance(self.n_tokens, int | np.integer) or self.n_tokens < 0:
            raise DataError(f"n_tokens = {self.n_tokens} of a batch: expected 0, 1, 2, ...")

    @property
    def n_rows(self) -> int:
        """How many rows each array has."""
        return len(next(iter(self.arrays.values())))


class Source(Protocol):
    """Rows of training data in an endless order, pass after pass."""

    @property
    def n_rows(self) -> int:
        """Rows in a pass."""

    @property
    def n_tokens(self) -> int:
        """Tokens in a pass; about so many are enough, as time is estimated by them."""

    @property
    def n_targets(self) -> int | None:
        """Targets that count in a pass; None where that is not known."""

    def rows(self, first: int, n: int) -> Batch:
        """Return rows `first` to `first + n - 1`: a pure function of these two.

        Rows of different lengths are padded here, to the longest of them or to one length for all.
        """
