"""Who is told what happens in training: the run folder, the screen, whoever wants to know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from groundup.config import TrainConfig
from groundup.train.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

Tensors = Mapping[str, "Tensor"]


class Listener:
    """What a listener hears, and does nothing about."""

    def metrics(self, record: dict[str, Any]) -> None:
        """Receive a line of figures, as in metrics.jsonl."""

    def sample(self, step: int, prompt: str, text: str) -> None:
        """Receive what the model wrote at `step`."""

    def timed(self, config: TrainConfig, seconds_per_step: float) -> None:
        """Receive the measured speed of the first steps, and the settings that follow from it."""

    def save(self, progress: Progress, model: Tensors, trainer: Tensors) -> None:
        """Keep the run's state: all parameters by name, and what the optimizer remembers."""

    def confirm(self, wait: bool) -> None:
        """Raise what went wrong with keeping the state; `wait` until that is known."""

    def trouble(self, record: dict[str, Any], batch: Tensors, model: Tensors) -> None:
        """Receive what is wrong with a step, its batch, and the model that it came of."""
