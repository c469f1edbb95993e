"""What a model has learnt from pairs of replies, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.floating[Any]] | npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class PreferenceFigures:
    """Means over pairs. A reply's reward is beta (pi - ref), log-probabilities in nats."""

    n_pairs: int
    loss: float
    """DPO's, in nats."""
    accuracy: float
    """Share of pairs whose chosen reply has the higher reward; a tie is half a pair."""
    margin: float
    """Reward of the chosen reply less that of the rejected one."""
    chosen_drift: float
    """pi - ref of the chosen reply, in nats: below 0, it has become less likely."""
    rejected_drift: float
    """The same of the rejected reply."""
    chosen_length: float
    """Tokens of the chosen reply, with what ends it."""
    rejected_length: float
    """The same of the rejected reply."""
    preferred_length: float
    """Tokens of the reply with the higher reward, of both in the mean where it is a tie."""

    @property
    def length_drift(self) -> float:
        """Tokens by which the preferred replies are longer than the chosen ones.

        Summed log-probabilities reward length: Park et al., 2024, "Disentangling length from
        quality in direct preference optimization".
        """
        return self.preferred_length - self.chosen_length


def preference_figures(
    log_probs: Numbers, reference: Numbers, n_counted: Numbers, beta: float
) -> PreferenceFigures:
    """Return the figures of pairs by what model and reference say of both replies.

    `log_probs`, `reference`: summed log-probabilities (n, 2) in nats, the chosen reply first.
    `n_counted`: the tokens of each reply (n, 2).
    """
    drifts = np.asarray(log_probs, np.float64) - reference
    margins = beta * (drifts[:, 0] - drifts[:, 1])
    shares = (1 + np.sign(margins)) / 2
    preferred = shares * n_counted[:, 0] + (1 - shares) * n_counted[:, 1]
    return PreferenceFigures(
        n_pairs=len(margins),
        loss=float(np.logaddexp(0, -margins).mean()),
        accuracy=float(shares.mean()),
        margin=float(margins.mean()),
        chosen_drift=float(drifts[:, 0].mean()),
        rejected_drift=float(drifts[:, 1].mean()),
        chosen_length=float(n_counted[:, 0].mean()),
        rejected_length=float(n_counted[:, 1].mean()),
        preferred_length=float(preferred.mean()),
    )
