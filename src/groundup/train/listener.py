"""Who is told what happens in training: the run folder, the screen, whoever wants to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from groundup.config import TrainConfig
from groundup.train.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

    from groundup.data import PreparedData
    from groundup.data.dialogue_folder import DialogueData
    from groundup.data.labelled_folder import LabelledData
    from groundup.plan import Plan
    from groundup.runs import RunFolder
    from groundup.train.choices import Choices
    from groundup.train.decisions import Decision

Tensors = Mapping[str, "Tensor"]


class Listener:
    """The base of all listeners: it is told everything and does nothing."""

    def metrics(self, record: dict[str, Any]) -> None:
        """Receive a line of figures, as in metrics.jsonl."""

    def sample(self, step: int, prompt: str, text: str) -> None:
        """Receive what the model wrote at `step`."""

    def decided_anew(
        self,
        config: TrainConfig,
        decisions: Sequence[Decision],
        seconds_per_step: float | None,
    ) -> None:
        """Receive the settings from the next step on, and all decisions by which they changed.

        Once also the measured speed of the first steps.
        """

    def save(self, progress: Progress, model: Tensors, trainer: Tensors) -> None:
        """Keep the run's state: all parameters by name, and what the optimizer remembers."""

    def confirm(self, wait: bool) -> None:
        """Raise what went wrong with keeping the state; `wait` until that is known."""

    def trouble(self, record: dict[str, Any], batch: Tensors, model: Tensors) -> None:
        """Receive what is wrong with a step, its batch, and the model that it came of."""


class Screen(Listener):
    """A listener that is also shown the run before it begins and while its text is prepared."""

    def allowed(self, seconds: float) -> None:
        """Receive in how many seconds from now the run is to be done."""

    def preparing(self, stage: str, done: int, total: int) -> None:
        """Receive how many bytes of a stage of preparation are done."""

    def prepared(self, data: PreparedData) -> None:
        """Receive what training will read."""

    def prepared_records(self, data: LabelledData) -> None:
        """Receive the labelled records that training will read."""

    def prepared_dialogues(self, data: DialogueData) -> None:
        """Receive the dialogues or preferences that training will read."""

    def example(self, where: str, pieces: Sequence[tuple[str, bool]]) -> None:
        """Receive an example as the model will see it: its parts, and whether each is learnt."""

    def decided(self, label: str, text: str) -> None:
        """Receive what was chosen for the job itself, and why."""

    def planned(self, plan: Plan, choices: Choices, folder: RunFolder) -> None:
        """Receive what is about to be trained, and where it is written."""

    def notice(self, text: str) -> None:
        """Receive one line the user should know."""

    def resumed(self, progress: Progress) -> None:
        """Receive how far the run had come."""
