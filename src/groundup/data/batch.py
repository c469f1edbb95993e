"""What a step learns from: a batch of named arrays, and the sources that batches come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

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
