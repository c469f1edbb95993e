"""What a model has learnt from pairs of replies, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.evaluate.intervals import wilson
from groundup.runs.assistant import PairFigures

Numbers = npt.NDArray[np.floating[Any]] | npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, kw_only=True)
class PreferenceFigures(PairFigures):
    """Means over pairs, by the score of each reply: of DPO its reward, beta (pi - ref)."""

    n_pairs: int
    tokens: int
    """Those of all replies, with what ends them."""
    chosen_length: float
    """Tokens of the chosen reply, with what ends it."""

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
    n, margins = len(scores), scores[:, 0] - scores[:, 1]
    shares = (1 + np.sign(margins)) / 2
    preferred = shares * n_counted[:, 0] + (1 - shares) * n_counted[:, 1]
    chosen, rejected = (None, None) if drifts is None else drifts.mean(axis=0).tolist()
    return PreferenceFigures(
        n_pairs=n,
        tokens=int(n_counted.sum()),
        loss=float(losses.mean()),
        accuracy=float(shares.mean()),
        interval=wilson(float(shares.sum()), n),
        margin=float(margins.mean()),
        chosen_length=float(n_counted[:, 0].mean()),
        preferred_length=float(preferred.mean()),
        chosen_drift=chosen,
        rejected_drift=rejected,
    )
