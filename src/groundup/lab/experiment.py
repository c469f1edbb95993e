"""What an experiment is: studies that measure cells, each with a prediction made before.

Experiment        a question, and the studies that answer it
Study             arms x values x seeds: what differs, what is held equal, what is measured
Arm               one of the things that are compared: a model, a training
Cell              one arm at one value with one seed: the smallest piece of work, of one process
Setting           a cell with all that its measurement needs
Finding           what a study has shown: a sentence, differences, tables, charts
ExperimentReport  all of them, with where and how they were measured
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from groundup.config import GPTConfig, TrainConfig
from groundup.model import GPT, PARTS, Parts
from groundup.report.charts import AnyChart

Values = Mapping[str, Any]
"""What a cell measured, by name: numbers, or lists of numbers such as a curve."""


Start = Callable[[GPT], None]
"""Changes an untrained model in place, such as its initial weights."""


class Cell(NamedTuple):
    """One arm at one value `x` of what is swept (0 where nothing is), with one seed."""

    study: str
    arm: str
    x: float
    seed: int

    def __str__(self) -> str:
        return f"{self.study}: {self.arm}, {f'{self.x:g}, ' if self.x else ''}seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A cell with all that its measurement needs."""

    cell: Cell
    config: GPTConfig
    """Its `vocab_size` is that of the text."""
    train: TrainConfig
    parts: Parts
    start: Start
    reference: tuple[GPTConfig, Parts]
    """The model of the study's first arm at the same value, with which this one shares tensors."""
    text: str
    """The path or the name of the text, as `groundup train` takes it."""
    options: Mapping[str, Any]
    """What only this study's measurement knows."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One of the things that are compared: how it differs from the study's base."""

    name: str
    model: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `GPTConfig`."""
    train: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `TrainConfig`."""
    parts: Parts = PARTS
    start: Start = lambda model: None
    options: Mapping[str, Any] = field(default_factory=dict)
    """What only this study's measurement knows."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What theory or earlier work says will come out, written before the first run."""

    says: str
    source: str
    """Who says so, such as "Xiong et al., 2020", or "ours"."""


Measure = Callable[[Setting], Values]
"""Measures a cell, in a process of its own with one thread."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """One comparison: arms x values x seeds, and what is concluded from them."""

    name: str
    """A slug, such as "gradient-by-depth"."""
    title: str
    kind: str
    """AT_INITIALISATION or TRAINED: what kind of evidence it is."""
    prediction: Prediction
    equal: str
    """What is held equal."""
    measured: str
    """What is measured, with its unit."""
    arms: Sequence[Arm]
    seeds: Sequence[int] = tuple(range(1, 6))
    xs: Sequence[float] = (0.0,)
    x_name: str = ""
    """What is swept, such as "depth" or "learning rate"."""
    at: Callable[[Arm, float], Arm] = lambda arm, x: arm
    """Returns an arm at a value of what is swept: `xs` changes what this changes."""
    model: Mapping[str, Any] = field(default_factory=dict)
    """What all arms have in common: fields of `GPTConfig`."""
    train: Mapping[str, Any] = field(default_factory=dict)
    """Likewise: fields of `TrainConfig`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    measure: Measure
    conclude: Callable[[Results], Finding]

    def cells(self) -> list[Cell]:
        """Return all cells; those of one seed and value stand together, as they are compared."""
        return [
            Cell(self.name, arm.name, x, seed)
            for seed in self.seeds
            for x in self.xs
            for arm in self.arms
        ]

    def setting(self, cell: Cell, vocab_size: int, text: str) -> Setting:
        """Return what the measurement of `cell` needs, on a text of so many different tokens."""
        first, arm = (
            self.at(arm, cell.x)
            for arm in (self.arms[0], next(arm for arm in self.arms if arm.name == cell.arm))
        )
        of_first, config = (
            GPTConfig(**{**self.model, **one.model, "vocab_size": vocab_size})
            for one in (first, arm)
        )
        return Setting(
            cell=cell,
            config=config,
            train=TrainConfig(**{**self.train, "seed": cell.seed, **arm.train}),
            parts=arm.parts,
            start=arm.start,
            reference=(of_first, first.parts),
            text=text,
            options={**self.options, **arm.options},
        )


AT_INITIALISATION = "at initialisation"
TRAINED = "trained"


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A question, and the studies that answer it."""

    name: str
    question: str
    studies: Callable[[float], Sequence[Study]]
    """Returns what is run with so many times the time of the default, 1: more arms, sizes, rates,
    seeds. The studies of 1 end in under five minutes on two cores."""
    least: float = 1.0
    """The smallest such number that has any use: above 1, it runs only where a budget is given."""
    minutes: float | None = None
    """How long `least` takes on the machine of docs/lab.md, once that was measured."""
    answered_by: Sequence[str] = ()
    """The names of the studies whose sentences answer the question; all of them if none is named.
    A question in two parts has two."""


class Results:
    """What the cells of a study measured, all of them."""

    def __init__(self, study: Study, values: Mapping[Cell, Values]) -> None:
        self.study, self.values = study, values

    def get(self, arm: str, x: float = 0.0, seed: int | None = None) -> Values:
        """Return what one cell measured, of the first seed if none is given."""
        seed = self.study.seeds[0] if seed is None else seed
        return self.values[Cell(self.study.name, arm, x, seed)]

    def of_seeds(self, arm: str, x: float = 0.0) -> list[Values]:
        """Return what an arm's cells at `x` measured, in the order of the seeds."""
        return [self.get(arm, x, seed) for seed in self.seeds]

    def numbers(self, metric: str, arm: str, x: float = 0.0) -> list[float]:
        """Return a metric of an arm at `x`, one number a seed, in the order of the seeds.

        What is no finite number, such as the loss of a run that was lost, is NaN.
        """
        values = (cell[metric] for cell in self.of_seeds(arm, x))
        return [math.nan if v is None or not math.isfinite(v) else float(v) for v in values]

    @property
    def seeds(self) -> Sequence[int]:
        """The seeds of the study."""
        return self.study.seeds


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How much an arm differs from another in a metric, over paired seeds."""

    arm: str
    against: str
    metric: str
    mean: float
    """Of arm minus against."""
    interval: tuple[float, float]
    """In which the true mean lies with 95% confidence (Student's t, paired)."""
    p: float
    adjusted_p: float
    """After Holm's correction (1979) over the differences of the study."""
    smallest_seen: float
    """The smallest difference that this many pairs would have shown 8 times in 10."""
    n_pairs: int
    x: float = 0.0

    @property
    def seen(self) -> bool:
        """Whether there is a difference, at 5% after correction."""
        return self.adjusted_p < 0.05


@dataclass(frozen=True, kw_only=True)
class Table:
    """Figures as text; the first column names the row."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a study has shown."""

    verdict: str
    """One or two sentences."""
    came_out: bool | None
    """Whether the prediction came out; None where this cannot be told or nothing was predicted."""
    answer: str = ""
    """What of the verdict answers the question of the experiment; empty for all of it."""
    differences: Sequence[Difference] = ()
    tables: Sequence[Table] = ()
    charts: Sequence[AnyChart] = ()
    notes: Sequence[str] = ()
    """What is left out, was lost, or is to be read with care."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Other numbers for --json, such as slopes."""


class Concluded(NamedTuple):
    """A study with what it has shown."""

    study: Study
    finding: Finding


@dataclass(frozen=True, kw_only=True)
class ExperimentReport:
    """An experiment that was run: what its page, its lines on a terminal and its JSON tell."""

    name: str
    question: str
    concluded: Sequence[Concluded]
    """In the order in which they were run."""
    machine: str
    """Where it ran, such as "AMD EPYC 7B13, 2 cores, 8.2 GB; Linux; torch 2.10.0"."""
    text: str
    """What the models learnt from, such as "shakespeare, 1,100,000 characters"."""
    seconds: float
    """How long the measurements took, of all the processes that shared them, end to end."""
    command: Sequence[str]
    """The words that repeat it; none for an experiment that only a program has."""
    folder: Path
    """Where results.csv, verdict.json and report.html lie."""
    answered_by: Sequence[str] = ()
    """The studies that answer the question; see `Experiment`."""

    @property
    def verdict(self) -> str:
        """The answer to the question: of the studies that give it, or of all if none was run."""
        told = {study.name: found.answer or found.verdict for study, found in self.concluded}
        answers = [answer for name, answer in told.items() if name in self.answered_by]
        return " ".join(answers or told.values())

    @property
    def came_out(self) -> bool | None:
        """Whether all predictions came out; None where none of them could be told."""
        told = [f.came_out for _, f in self.concluded if f.came_out is not None]
        return all(told) if told else None


def swept(field_name: str) -> Callable[[Arm, float], Arm]:
    """Return what sets a field of an arm's model to the swept value; 8.0 layers are 8."""

    def at(arm: Arm, x: float) -> Arm:
        return replace(arm, model={**arm.model, field_name: _whole(x)})

    return at


def swept_setting(field_name: str) -> Callable[[Arm, float], Arm]:
    """Return what sets a field of an arm's training to the swept value."""

    def at(arm: Arm, x: float) -> Arm:
        return replace(arm, train={**arm.train, field_name: _whole(x)})

    return at


def _whole(x: float) -> float:
    return int(x) if float(x).is_integer() else x
