"""The scaling law of Hoffmann et al. (2022), fitted to losses.

Hoffmann et al. 2022, "Training compute-optimal large language models", arXiv:2203.15556
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import curve_fit

N_SCALE, D_SCALE = 1e5, 1e6
"""Sizes and tokens are counted in these, so that all numbers of the fit are near 1."""
STARTS = ((0.5, 0.3), (0.2, 0.6), (0.8, 0.9))
"""Share of the lowest loss that is irreducible, and both exponents, from which fits begin."""


class Point(NamedTuple):
    """The loss that a model of so many parameters has after so many tokens."""

    parameters: float
    tokens: float
    loss: float


class Law(NamedTuple):
    """L(N, D) = E + A / N^a + B / D^b, with N in 100,000 parameters and D in a million tokens."""

    irreducible: float
    """E: what no size and no text takes away, nats a token."""
    size: float
    size_exponent: float
    data: float
    data_exponent: float

    def loss(self, parameters: float, tokens: float) -> float:
        """Return the predicted loss, nats a token."""
        return float(_loss(np.array([parameters, tokens]), *self))

    @property
    def best_size_exponent(self) -> float:
        """With how much computation's exponent the best size grows, b / (a + b)."""
        return self.data_exponent / (self.size_exponent + self.data_exponent)


def fit_law(points: Sequence[Point], near: Law | None = None) -> Law:
    """Return the law nearest to points by least squares of log loss; more than five are needed.

    It is the best of fits from several starts, as one alone may end in a local minimum; or that
    from the law `near` by, where one is known.
    """
    where = np.array([(p.parameters, p.tokens) for p in points]).T  # (2, n)
    logs = np.log([p.loss for p in points])
    lowest = math.exp(logs.min())
    starts = [near] if near else [_start(lowest, *start) for start in STARTS]
    bounds = ([0, 0, 0.01, 0, 0.01], [max(lowest, starts[0][0]), math.inf, 3, math.inf, 3])
    fits = []
    for start in starts:
        found, _ = curve_fit(_log_loss, where, logs, start, bounds=bounds, maxfev=20_000)
        error = float(((_log_loss(where, *found) - logs) ** 2).sum())
        fits.append((error, Law(*map(float, found))))
    return min(fits, key=lambda fit: fit[0])[1]


def _start(lowest: float, share: float, exponent: float) -> Law:
    """Return a law from which a fit begins: the rest of the loss is shared by size and text."""
    rest = lowest * (1 - share) / 2
    return Law(lowest * share, rest, exponent, rest, exponent)


def _loss(where: Any, e: float, size: float, a: float, data: float, b: float) -> Any:
    return e + size * (where[0] / N_SCALE) ** -a + data * (where[1] / D_SCALE) ** -b


def _log_loss(where: Any, e: float, size: float, a: float, data: float, b: float) -> Any:
    return np.log(_loss(where, e, size, a, data, b))
