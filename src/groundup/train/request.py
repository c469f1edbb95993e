"""What a run is asked for, and what it shows before it begins."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundup.config import TrainConfig
from groundup.data import PreparedData
from groundup.plan import Plan
from groundup.runs import RunFolder
from groundup.train.choices import Choices
from groundup.train.listener import Listener
from groundup.train.progress import Progress
from groundup.train.start import Start, new_start, start_from

DEFAULT_CORPUS = "shakespeare"
DEFAULT_PRESET = "nano"


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What the user asked for, before anything was decided."""

    sources: tuple[str, ...] = (DEFAULT_CORPUS,)
    preset: str = DEFAULT_PRESET
    base: Path | None = None
    model_changes: dict[str, Any] = field(default_factory=dict)
    train: TrainConfig = field(default_factory=TrainConfig)
    tokenizer: str = "bpe"
    text_options: dict[str, Any] = field(default_factory=dict)
    run: str | None = None
    extend: int | None = None
    command: str = ""
    own_process: bool = False
    """Whether nothing else runs in this process, so that its allocator may be set."""
    runs_folder: Path = Path("runs")
    data_folder: Path = Path("data")

    def name(self) -> str:
        """Return the run's name: as given, else made of the text and the preset or the base."""
        if self.run:
            return self.run
        stems = [Path(source).name.partition(".")[0] for source in self.sources]
        text = "-".join(stem if stem.strip("-*") else "text" for stem in stems[:2])
        model = self.base.resolve().name if self.base else self.preset
        return re.sub(r"[^\w.-]+", "_", f"{text}-{model}")

    def start(self, own: RunFolder) -> Start:
        """Return what the run in the folder `own` starts from."""
        if self.base is not None:
            return start_from(self.base, self.model_changes, own)
        return new_start(self.preset, self.model_changes, self.tokenizer)


class Screen(Listener):
    """A listener that is also shown the run before it begins and while its text is prepared."""

    def preparing(self, stage: str, done: int, total: int) -> None:
        """Receive how many bytes of a stage of preparation are done."""

    def prepared(self, data: PreparedData) -> None:
        """Receive what training will read."""

    def planned(self, plan: Plan, choices: Choices, folder: RunFolder) -> None:
        """Receive what is about to be trained, and where it is written."""

    def notice(self, text: str) -> None:
        """Receive one line the user should know."""

    def resumed(self, progress: Progress) -> None:
        """Receive how far the run had come."""
