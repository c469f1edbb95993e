"""What fine-tuning in Python shares: a call instead of a request, and nothing kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from groundup.config import as_table
from groundup.finetune.assistant.job import ChatJob
from groundup.finetune.classifier.job import ClassifyJob
from groundup.optim.step import M
from groundup.processes.alone import ALONE
from groundup.tokenizer import Tokenizer
from groundup.train.api import InMemory
from groundup.train.driver import drive
from groundup.train.job import Job
from groundup.train.listener import Listener
from groundup.train.recorder import Keeper
from groundup.train.resume import IN_PYTHON, Identity

SPLIT_SEED = 1
"""By which records in memory are divided."""


class InMemoryJob(Job[M]):
    """A training of a model in memory, on records in memory."""

    tokenizer: Tokenizer
    asked: Any
    """The settings of this kind of training."""

    def identity(self) -> Identity:
        """Return the call."""
        request = {
            "command": IN_PYTHON,
            "model": as_table(self.config),
            "train": as_table(self.settings),
            "job": as_table(self.asked),
        }
        return Identity(request=request)

    def data_table(self) -> dict[str, Any]:
        """Return what run.toml would say."""
        return {"tokenizer_fingerprint": self.tokenizer.fingerprint}


def drive_in_memory(
    job: ClassifyJob | ChatJob, notices: Sequence[str], listeners: Sequence[Listener], show: bool
) -> tuple[dict[str, Any], ...]:
    """Carry out a training of which nothing is kept on disk, and return its metrics."""
    keeper = Keeper()
    job.screen = screen = InMemory(keeper.folder, show)
    try:
        for line in notices:
            screen.notice(line)
        heard = [*([screen.console] if show else []), *listeners]
        drive(job, keeper, screen, ranks=ALONE, listeners=heard)
    finally:
        screen.console.close()
    return tuple(screen.records)
