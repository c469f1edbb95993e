"""How many optimizer steps a number of passes over a text takes."""

from __future__ import annotations

import math


def steps_of(epochs: float, n_tokens: int, tokens_per_step: int) -> int:
    """Return the fewest steps that learn from `n_tokens` `epochs` times over; 1 or more.

    `tokens_per_step` is sequences_per_step times context_length. The last step may begin the next
    pass.
    """
    return max(1, math.ceil(epochs * n_tokens / tokens_per_step))
