"""A bound on scores that never cuts hard (Gemma 2: Riviere et al., 2024, section 2)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Cap(NamedTuple):
    """limit x tanh(scores / limit); a limit of 0 bounds nothing."""

    limit: float

    def __call__(self, scores: Tensor) -> Tensor:
        """Return the scores, bounded."""
        return (scores / self.limit).tanh() * self.limit if self.limit else scores

    def slope(self, bounded: Tensor) -> Tensor:
        """Return the derivative where the scores are `bounded`."""
        return 1 - (bounded / self.limit).square()


uncapped = Cap(0.0)


def soft_cap(limit: float) -> Cap:
    """Return the bound of that limit."""
    return Cap(limit)
