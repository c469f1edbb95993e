"""What a kind of training is: all that the driver asks, in the order in which it asks."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar, Generic

from groundup.config import GPTConfig, TrainConfig
from groundup.data import Source
from groundup.optim.step import M, Step
from groundup.plan import Plan, make_plan
from groundup.processes.alone import Alone
from groundup.runs import RunFolder
from groundup.runs.manifest import BaseTable, Manifest
from groundup.train.choices import Choices
from groundup.train.listener import Screen
from groundup.train.records import Between, Validation
from groundup.train.resume import Identity


class Job(ABC, Generic[M]):
    """One training of some kind: what it starts from, its data, its step, what it shows."""

    kind: ClassVar[str]
    """What run.toml calls it."""

    config: GPTConfig
    """The model; the size of its vocabulary may be that of the data, once this is prepared."""
    settings: TrainConfig
    """As asked for, before anything is decided."""
    extend: int | None = None
    """The steps that a run which is there already is to be lengthened to."""
    own_process: bool = False
    """Whether nothing else runs in this process, so that it may be set up as training needs it."""
    is_named: bool = False
    """Whether the user has named all that it reads, now, rather than a run's own record."""
    rate_share: float = 1.0
    """The part of a new model's learning rate that this one takes, where that is not set."""
    base: BaseTable | None = None
    """The checkpoint with the weights that a step does not keep, where it does not keep all."""
    extra: Mapping[str, Sequence[int]] = MappingProxyType({})
    """What a step keeps that a GPT of `config` lacks, such as a head: shapes by name."""
    n_tokens: int | None = None
    """How many tokens there are to learn from, once the data is prepared."""

    @property
    def n_val_tokens(self) -> int | None:
        """How many tokens there are to validate on, where that is known before they are read."""
        return None

    def prepare(self, screen: Screen) -> None:
        """Read the data, once; the first of several processes does so before the others."""

    @abstractmethod
    def identity(self) -> Identity:
        """Return what makes two requests the same run; the data is prepared."""

    @property
    def widest(self) -> GPTConfig:
        """The model as a step sees it: its context as long as the longest row."""
        return self.config

    def decide(self, choices: Choices, screen: Screen) -> dict[str, Any]:
        """Return what run.toml is to say of the job, in [job]; asked once, when the run begins."""
        return {}

    def take_over(self, manifest: Manifest) -> None:
        """Receive run.toml, with all that was decided when the run began."""

    @abstractmethod
    def data_table(self) -> dict[str, Any]:
        """Return what run.toml says of the data, in [data]."""

    def plan(self, settings: TrainConfig) -> Plan:
        """Return what the training takes: memory, work, steps."""
        return make_plan(self.widest, replace(settings, epochs=None), train_tokens=self.n_tokens)

    def needs(self, settings: TrainConfig) -> int:
        """Return the bytes that it takes with other settings than its own."""
        return self.plan(settings).memory["total"]

    def steps(self, epochs: float, settings: TrainConfig) -> int:
        """Return how many steps make so many passes over the data."""
        rows = self.source(settings).n_rows
        return max(1, math.ceil(epochs * rows / settings.sequences_per_step))

    @abstractmethod
    def model(self, seed: int) -> M:
        """Return the model at step 0."""

    def skeleton(self) -> M:
        """Return a model that is about to be filled from a checkpoint."""
        return self.model(0)

    @abstractmethod
    def source(self, settings: TrainConfig) -> Source:
        """Return the rows to learn from."""

    @abstractmethod
    def step(self, model: M, choices: Choices) -> Step[M]:
        """Return the model with its loss."""

    def write(self, folder: RunFolder) -> None:
        """Write what belongs beside the weights, such as a tokenizer."""

    def finish(self, folder: RunFolder, screen: Screen) -> None:
        """Judge what the finished run in `folder` has become; the first process does so."""

    def is_judged(self, folder: RunFolder) -> bool:
        """Return whether all is there that `finish` leaves; it is called again where not."""
        return True

    def evaluate(
        self, step: Step[M], choices: Choices, world: Alone, most: int | None, last: bool,
        between: Between,
    ) -> Validation | None:  # fmt: skip
        """Validate on at most so many tokens (all for None); None where there is nothing to.

        The `last` validation finds what whoever loads the finished model would.
        """
        return None

    def sample(
        self, step: Step[M], choices: Choices, world: Alone, between: Between
    ) -> tuple[str, str] | None:
        """Return a prompt and what the model makes of it, if it can show anything."""
        return None
