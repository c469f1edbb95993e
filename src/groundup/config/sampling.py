"""How a model writes: which of the likely tokens it takes, and when it stops."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from groundup.config.fields import by_name, check_types, require


@by_name
@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How tokens are chosen and when to stop; by default from all tokens, at temperature 0.8.

    The filters apply in the order of the fields. Raises `ConfigError`, one line naming the field,
    for a value that makes no sense.
    """

    max_tokens: int = 100
    """Most tokens written."""
    repetition_penalty: float = 1.0
    """Divides positive scores of tokens seen before, multiplies negative ones; 1 is off
    (Keskar et al., 2019, section 4.1)."""
    temperature: float = 0.8
    """Divides all scores: below 1 bolder, above 1 more random; 0 takes the highest (greedy)."""
    top_k: int = 0
    """Keep the k most probable tokens, and those equal to the last of them; 0 is off."""
    top_p: float = 1.0
    """Keep the fewest most probable tokens that hold this share of the probability; 1 is off
    (Holtzman et al., 2020)."""
    min_p: float = 0.0
    """Keep tokens at least this fraction as probable as the most probable one; 0 is off
    (Nguyen et al., 2024)."""
    seed: int | None = None
    """Row i of a batch draws from seed + i; None is a new seed each time."""
    stop: str | Sequence[str] = ()
    """Strings that end a text; they are not part of it."""
    stop_tokens: Sequence[int] = ()
    """Ids that end a text, as the end-of-text token always does."""
    start_token: int | None = None
    """The id that stands before every prompt, where the model was trained so."""

    def __post_init__(self) -> None:
        for name in ("stop", "stop_tokens"):
            value = getattr(self, name)
            require(isinstance(value, Iterable), name, value, "a list")
        object.__setattr__(self, "stop_tokens", tuple(self.stop_tokens))
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)
        object.__setattr__(self, "stop", stop)
        check_types(self)
        t, penalty = self.temperature, self.repetition_penalty
        require(self.max_tokens >= 0, "max_tokens", self.max_tokens, "0 or more")
        require(0 < penalty < math.inf, "repetition_penalty", penalty, "above 0; 1 is off")
        require(0 <= t < math.inf, "temperature", t, "0 (greedy) or more, such as 0.8")
        require(self.top_k >= 0, "top_k", self.top_k, "0 (off) or more")
        require(0 < self.top_p <= 1, "top_p", self.top_p, "above 0, at most 1 (off)")
        require(0 <= self.min_p <= 1, "min_p", self.min_p, "from 0 (off) to 1")
        require(self.seed is None or 0 <= self.seed < 1 << 63, "seed", self.seed, "0 or more")
        are_texts = all(isinstance(text, str) and text for text in stop)
        require(are_texts, "stop", stop, "strings of at least one character")
