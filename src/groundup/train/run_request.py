"""What is asked for of a run, of whatever kind, before anything was decided."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from groundup.base.file_names import DATA, RUNS
from groundup.config import TrainConfig
from groundup.runs import RunFolder
from groundup.train.resume import Identity, check_new, compatible


@dataclass(frozen=True, kw_only=True)
class RunRequest(ABC):
    """What the user asked for; a kind of training adds its own."""

    train: TrainConfig = field(default_factory=TrainConfig)
    run: str | None = None
    """The name; None makes one of what was asked for."""
    extend: int | None = None
    """The steps that a run which is there is lengthened to."""
    command: str = ""
    own_process: bool = False
    """Whether nothing else runs in this process, so that its allocator may be set."""
    runs_folder: Path = RUNS
    data_folder: Path = DATA
    reads: tuple[str, ...] | None = None
    """What it reads, as a run's own record names it; None where the user has named that now."""
    prepared: Path | None = None
    """What an earlier preparation kept, read in place of the sources as long as it is there."""

    @abstractmethod
    def made_name(self) -> str:
        """Return a name made of what is learnt from and the model; any characters will do."""

    @abstractmethod
    def check(self) -> None:
        """Refuse what can be known to be wrong without torch, which takes seconds to load."""

    def name(self) -> str:
        """Return the run's name: as given, else made."""
        return self.run or re.sub(r"[^\w.-]+", "_", self.made_name())

    @property
    def folder(self) -> RunFolder:
        """Where the run is, or will be."""
        return RunFolder(self.runs_folder / self.name())

    def check_folder(self, identity: Identity, unknown: Sequence[str]) -> None:
        """Refuse a folder with another run, or none to lengthen; see `compatible`."""
        if self.folder.exists():
            compatible(self.folder, identity, self.extend, unknown=unknown)
        else:
            check_new(self.folder, self.extend)
