"""How far a run has come: all that is saved with a checkpoint beside its tensors."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

from groundup.base.errors import ConfigError, RunError
from groundup.config.fields import build, require

SIZES = "file_sizes"
"""Beside the progress in a state.json: bytes of the run's growing files, by name."""
NUMBERS = ("step", "tokens", "seconds", "wall_seconds", "skipped", "went_back", "rate_scale")
"""What of it is 0 or more."""
DUTIES = ("log", "validate", "sample", "finish")
"""What may be due at the end of a step."""


@dataclass
class Progress:
    """A run's numbers at the end of a step; plain JSON."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    """Of the steps alone."""
    wall_seconds: float = 0.0
    """Since the training was asked for, without the time in which it was stopped."""
    val_loss: float | None = None
    best_val_loss: float | None = None
    finished: bool = False
    due: list[str] = field(default_factory=lambda: ["validate", "sample"])
    """What is still to be done at this step, in order, before the next one is taken."""
    unlogged: list[float | None] = field(default_factory=list)
    """Losses of the steps since the last line of metrics; None where no target counted."""
    recent: list[float] = field(default_factory=list)
    """Losses by which a new one is judged."""
    skipped: int = 0
    """Steps that were left out."""
    went_back: int = 0
    """Times that the run went back to a checkpoint."""
    rate_scale: float = 1.0
    """What the schedule's learning rate is multiplied by: less than 1 after going back."""

    @classmethod
    def from_state(cls, state: Any, source: object) -> Progress:
        """Return what a checkpoint's state.json says, or raise `RunError` naming `source`."""
        try:
            if not isinstance(state, dict):
                raise ConfigError("expected a JSON object")
            sizes = state.get(SIZES, {})
            require(isinstance(sizes, dict), SIZES, sizes, "an object")
            progress = build(cls, {"due": [], **{k: v for k, v in state.items() if k != SIZES}})
            progress._check(sizes)
        except ConfigError as error:
            raise RunError(f"{source}: {error}; restore the file") from error
        return progress

    def _check(self, sizes: dict[str, Any]) -> None:
        """Refuse numbers that no run has come to, and duties that nobody knows."""
        for name in NUMBERS:
            value = getattr(self, name)
            require(0 <= value < math.inf, name, value, "0 or more")
        for name, kinds in (("unlogged", (float, NoneType)), ("recent", (float,))):
            values = getattr(self, name)
            require(all(isinstance(loss, kinds) for loss in values), name, values, "numbers")
        require(all(duty in DUTIES for duty in self.due), "due", self.due, ", ".join(DUTIES))
        require(all(type(size) is int for size in sizes.values()), SIZES, sizes, "numbers of bytes")

    def frozen(self) -> Progress:
        """Return another, which stays as this one is now."""
        return copy.deepcopy(self)
