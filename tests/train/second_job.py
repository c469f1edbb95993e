"""A second kind of training: rows of different lengths, of which some places count.

It learns the last block of a run that is there, and an offset to each score that a GPT has not.
`python -m tests.train.second_job FOLDER` trains it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn

from groundup import GPT, TrainConfig, load
from groundup.config import as_table, build
from groundup.data.batch import IGNORED, Batch
from groundup.optim.step import Step
from groundup.processes.alone import Alone
from groundup.runs import RunFolder
from groundup.runs.base import base_table
from groundup.train import Choices, ConsoleScreen, TrainRun, drive
from groundup.train.job import Job
from groundup.train.recorder import Recorder
from groundup.train.records import Between
from groundup.train.resume import Identity

LONGEST = 12


class Rows:
    """Counting up, from anywhere: 4 to 12 tokens, of which the first two are given."""

    n_rows, n_tokens = 64, 64 * 8
    n_targets = None

    def __init__(self, spoilt: int = -1, counts: bool = True) -> None:
        self.spoilt, self.counts = spoilt, counts

    def rows(self, first: int, n: int) -> Batch:
        tokens, targets = np.zeros((2, n, LONGEST), np.int64)
        targets[:], weights = IGNORED, np.ones((n, LONGEST), np.float32)
        n_tokens = 0
        for row, index in enumerate(range(first, first + n)):
            length = 4 + index * 7 % (LONGEST - 3)
            counted = (index * 11 + np.arange(length + 1)) % 256
            tokens[row, :length], targets[row, 2:length] = counted[:-1], counted[3:]
            weights[row] = np.nan if index == self.spoilt else 1 / length
            n_tokens += length
        targets = targets if self.counts else np.full_like(targets, IGNORED)
        return Batch({"tokens": tokens, "targets": targets, "weights": weights}, n_tokens)


class WeightedStep(Step[GPT]):
    def kept(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def forward(self, tokens: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        scores = (self.worker(tokens) + self.worker.offset).flatten(0, 1)
        losses = F.cross_entropy(scores, targets.flatten(), reduction="none", ignore_index=IGNORED)
        counted = (targets != IGNORED).flatten()
        return (losses * weights.flatten())[counted].sum(), counted.sum()


@dataclass
class Found:
    loss: float
    tokens: int

    def figures(self) -> dict[str, float]:
        return {"val_loss": self.loss}


class Counting(Job[GPT]):
    kind = "counting"

    def __init__(self, base: Path, settings: TrainConfig, rows: Rows | None = None) -> None:
        self.settings, self.rows = settings, rows or Rows()
        self.base, self.start = base_table(base), load(base)
        self.config = self.start.model.config
        self.extra = {"offset": [self.config.vocab_size]}
        self.n_tokens = self.rows.n_tokens

    @classmethod
    def recorded(cls, folder: RunFolder) -> Self:
        manifest = folder.read()
        assert manifest.base is not None
        return cls(Path(str(manifest.base.run)), folder.train_config(manifest))

    def identity(self) -> Identity:
        asked = {"model": as_table(self.config), "train": as_table(self.settings)}
        return Identity(request={**asked, "data": {"fingerprint": "counting"}})

    def data_table(self) -> dict[str, Any]:
        return {"tokenizer_fingerprint": self.start.tokenizer.fingerprint}

    def model(self, seed: int) -> GPT:
        model = GPT(self.config).requires_grad_(False)
        model.load_state_dict(self.start.model.state_dict())
        model.blocks[-1].requires_grad_()
        model.offset = nn.Parameter(torch.zeros(self.config.vocab_size))
        return model

    def source(self, settings: TrainConfig) -> Rows:
        return self.rows

    def step(self, model: GPT, choices: Choices) -> WeightedStep:
        return WeightedStep(model, choices.copy_dtype)

    def write(self, folder: RunFolder) -> None:
        self.start.tokenizer.save(folder.tokenizer)

    def evaluate(
        self, step: Step[GPT], choices: Choices, world: Alone, most: int | None, last: bool,
        between: Between,
    ) -> Found:  # fmt: skip
        batch = Rows().rows(1000, 8)
        with torch.no_grad():
            loss, n = step(**{name: torch.from_numpy(a) for name, a in batch.arrays.items()})
        return Found(float(loss / n), int(n))


def train(folder: Path, rows: Rows | None = None, **settings: Any) -> TrainRun:
    """Train it in `folder`, on top of the run beside it that is called base."""
    short = {"steps": 12, "batch_size": 4, "save_every": 3, "eval_every": 3}
    here = {"threads": 1, "device": "cpu", "precision": "fp32"}
    config = build(TrainConfig, short | here | settings)
    job = Counting(folder.parent / "base", config, rows)
    return drive(job, Recorder(RunFolder(folder)), ConsoleScreen(Console(quiet=True)))


if __name__ == "__main__":
    train(Path(sys.argv[1]), steps=int(sys.argv[2]))
