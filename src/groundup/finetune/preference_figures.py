"""What a model has learnt from pairs of replies, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.floating[Any]] | npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class PreferenceFigures:
    """Means over pairs, by the score of each reply: of DPO its reward, beta (pi - ref)."""

    n_pairs: int
    tokens: int
    """Those of all replies, with what ends them."""
    loss: float
    accuracy: float
    """Share of pairs whose chosen reply has the higher score; a tie is half a pair."""
    margin: float
    """Score of the chosen reply less that of the rejected one."""
    chosen_length: float
    """Tokens of the chosen reply, with what ends it."""
    rejected_length: float
    """The same of the rejected reply."""
    preferred_length: float
    """Tokens of the reply with the higher score, of both in the mean where it is a tie."""
    chosen_drift: float | None = None
    """pi - ref of the chosen reply, in nats: below 0, it has become less likely.

    None where there is no reference.
    """
    rejected_drift: float | None = None
    """The same of the rejected reply."""

    @property
    def length_drift(self) -> float:
        """Tokens by which the preferred replies are longer than the chosen ones.

        Summed log-probabilities reward length: Park et al., 2024, "Disentangling length from
        quality in direct preference optimization".
        """
        return self.preferred_length - self.chosen_length

    def figures(self) -> dict[str, float]:
        """Return what a line of metrics.jsonl says of them."""
        found = {
            "val_loss": self.loss,
            "val_pair_accuracy": self.accuracy,
            "val_margin": self.margin,
            "val_chosen_drift": self.chosen_drift,
            "val_rejected_drift": self.rejected_drift,
            "val_length_drift": self.length_drift,
        }
        return {name: value for name, value in found.items() if value is not None}


def preference_figures(
    losses: Numbers, scores: Numbers, n_counted: Numbers, drifts: Numbers | None = None
) -> PreferenceFigures:
    """Return the figures of pairs by the loss of each (n,) and the scores of its replies (n, 2).

    The chosen reply comes first. `n_counted`: the tokens of each reply (n, 2); `drifts`: pi - ref
    of each (n, 2) in nats, where there is a reference.
    """
    margins = scores[:, 0] - scores[:, 1]
    shares = (1 + np.sign(margins)) / 2
    preferred = shares * n_counted[:, 0] + (1 - shares) * n_counted[:, 1]
    chosen, rejected = (None, None) if drifts is None else drifts.mean(axis=0).tolist()
    return PreferenceFigures(
        n_pairs=len(margins),
        tokens=int(n_counted.sum()),
        loss=float(losses.mean()),
        accuracy=float(shares.mean()),
        margin=float(margins.mean()),
        chosen_length=float(n_counted[:, 0].mean()),
        rejected_length=float(n_counted[:, 1].mean()),
        preferred_length=float(preferred.mean()),
        chosen_drift=chosen,
        rejected_drift=rejected,
    )
