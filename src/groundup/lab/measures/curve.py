"""Where a training stood before its end, from the curve of its losses."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from groundup.lab.experiment import Values
from groundup.lab.measures.training import LAST_SHARE


def loss_at(run: Values, share: float) -> float:
    """Return the training loss when `share` of a training's steps were taken (0 to 1).

    It is a mean over the last tenth of those steps, as `train_loss` is one at the end; over the
    part of it that the curve resolves, which is at least one point.
    """
    steps: Sequence[float] = run["curve_steps"]
    end = steps[-1] * share
    points = list(zip(steps, run["curve"], strict=True))
    within = [loss for step, loss in points if end * (1 - LAST_SHARE) < step <= end]
    if not within:
        within = [min(points, key=lambda point: abs(point[0] - end))[1]]
    return statistics.fmean(within)
