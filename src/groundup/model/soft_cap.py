"""A bound on scores that never cuts hard (Gemma 2: Riviere et al., 2024, section 2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

Cap = Callable[[Tensor], Tensor]


def uncapped(scores: Tensor) -> Tensor:
    """Return `scores` as they are."""
    return scores


def soft_cap(limit: float) -> Cap:
    """Return limit x tanh(scores / limit) as a function; a limit of 0 bounds nothing."""
    return partial(_bounded, limit) if limit else uncapped


def _bounded(limit: float, scores: Tensor) -> Tensor:
    return (scores / limit).tanh() * limit
