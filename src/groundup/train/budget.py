"""How many steps fit into a time, and how much of it validations may take."""

from __future__ import annotations

from groundup.config import TrainConfig

EVALUATIONS = 20
"""Validations and checkpoints in a run, where their number was not set."""
MOST_EVALUATED, LEAST_EVALUATED = 16384, 2048
"""Tokens of a validation while training, where their number was not set."""
EVALUATION_SHARE = 0.03
"""How much of a run's time its validations may take; a token read is a third of one learnt from."""
SAMPLES = 5
"""Samples in a run, besides those of its start and its end."""
USED = 0.97
"""The part of a time that steps and pauses may fill."""


def steps_within(seconds: float, step_seconds: float, pause_seconds: float) -> int:
    """Return how many steps fit into `seconds`, with pauses for validations and samples; 1 or more.

    The last validation, which reads the whole split, counts as two.
    """
    pauses = (EVALUATIONS + 2) * pause_seconds
    return max(1, int((USED * seconds - pauses) / step_seconds))


def evaluated_tokens(config: TrainConfig, context_length: int) -> int:
    """Return how many tokens each validation may read, so that all take a small share of time."""
    times = config.steps // (config.eval_every or max(1, config.steps // EVALUATIONS))
    learnt = config.steps * config.sequences_per_step * context_length
    affordable = int(3 * EVALUATION_SHARE * learnt) // max(1, times)
    return min(MOST_EVALUATED, max(LEAST_EVALUATED, affordable))
