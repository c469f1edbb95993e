"""The learning rate of every step, as a pure function of the step."""

from __future__ import annotations

import math

from groundup.config import Recipe


def warmup_steps(config: Recipe) -> int:
    """Return the steps of linear rise: as set, else a tenth of the run and at most 100."""
    if config.warmup_steps is not None:
        return config.warmup_steps
    return min(100, config.steps // 10)


def learning_rate(step: float, config: Recipe) -> float:
    """Return the learning rate of `step` (counted from 0), or of a place between two steps.

    Linear warm-up, then linear decay to 0 over the rest of the run (Defazio et al., 2023; Bergsma
    et al., 2025), or as a cosine to a tenth (Loshchilov and Hutter, 2016), or `wsd`: constant, then
    linear decay over the last `decay_share` of the steps (Hu et al., 2024), or constant to the end.
    """
    assert config.learning_rate is not None, "`choose` has set it"
    peak, warm = config.learning_rate, warmup_steps(config)
    low = config.min_learning_rate
    if low is None:
        low = 0.0 if config.schedule == "linear" else peak / 10
    if step < warm:
        return peak * (step + 1) / warm
    if config.schedule == "constant":
        return peak
    decay_start = warm
    if config.schedule == "wsd":
        decay_start = max(warm, round(config.steps * (1 - config.decay_share)))
    if step < decay_start:
        return peak
    # In a line it reaches 0 behind the last step, which would otherwise move nothing.
    last = config.steps if config.schedule == "linear" else config.steps - 1
    done = min(1.0, (step - decay_start) / max(1, last - decay_start))
    remaining = (1 + math.cos(math.pi * done)) / 2 if config.schedule == "cosine" else 1 - done
    return low + (peak - low) * remaining
