"""What tests of fine-tuning share: how an assistant is asked for, and who hears what is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from groundup.config import TrainConfig, build
from groundup.finetune.assistant.request import InstructRequest
from groundup.finetune.rewards.settings import defaults_of
from groundup.finetune.settings import InstructSettings
from groundup.train.listener import Screen

HERE: dict[str, Any] = {"device": "cpu", "precision": "fp32", "threads": 1}


def asked_of(
    run: Path,
    records: str,
    base: str = "base",
    kind: type[InstructSettings] = InstructSettings,
    **settings: Any,
) -> InstructRequest:
    """Return what makes the assistant `run` of records, and of a base beside it.

    `settings` are those of a training, and of this `kind`.
    """
    names = kind.__dataclass_fields__
    own = kind(**{key: settings.pop(key) for key in list(settings) if key in names})
    return InstructRequest(
        base=run.parent / base,
        records=(records,),
        instruct=own,
        train=build(TrainConfig, {**defaults_of(own), **settings}),
        run=run.name,
        runs_folder=run.parent,
        data_folder=run.parent / "data",
    )


class Told(Screen):
    """Keeps what is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stages: dict[str, tuple[int, int]] = {}

    def decided(self, label: str, text: str) -> None:
        self.lines.append(f"{label}: {text}")

    def notice(self, text: str) -> None:
        self.lines.append(text)

    def preparing(self, stage: str, done: int, total: int) -> None:
        self.stages[stage] = (done, total)
