"""The settings that decide what a model learns: how long, from how much at once, and how."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from groundup.base.errors import ConfigError
from groundup.config.fields import Settings, require, require_at_least, require_one_of

OPTIMIZERS = ("muon", "adamw")
SCHEDULES = ("linear", "cosine", "wsd", "constant")
ORDERS = ("permutation", "random", "sliding")

DEFAULT_MINUTES = 5.0
"""Of a training of which nobody says how long it is."""
DEFAULT_PRESET = "nano"
FEWER_LAYERS = {4.0: 2, 10.0: 3}
"""Layers of the default model where it has less than so many minutes: in little time more steps of
a shallow one bring more (two cores; benchmarks/NOTES.md)."""


@dataclass(frozen=True, kw_only=True)
class Recipe(Settings):
    """Length, batch, optimizer, learning rates and the order of the data."""

    steps: int = 1000
    """Optimizer steps of the whole run."""
    minutes: float | None = None
    """A time budget: `steps` is chosen from the speed of the first steps to fill it."""
    epochs: float | None = None
    """Passes over the training tokens: `steps` is chosen to make them, once the text is known."""
    batch_size: int = 8
    """Sequences in one forward and backward pass."""
    accumulation: int = 1
    """Passes whose gradients are added up before each optimizer step."""
    optimizer: str = "muon"
    """muon: Muon for the matrices inside blocks, AdamW for the rest; adamw: AdamW for all."""
    learning_rate: float | None = None
    """AdamW's peak learning rate; None follows from emb_dim: wider models step smaller."""
    muon_learning_rate: float | None = None
    """Muon's peak learning rate, on the same schedule; None is 0.01, for any width."""
    min_learning_rate: float | None = None
    """Learning rate at the last step; None is 0 on a linear schedule, else a tenth of the peak."""
    warmup_steps: int | None = None
    """Steps of linear rise to the peak; None is a tenth of the run and at most 100."""
    schedule: str = "linear"
    """linear, cosine, wsd (stable, then linear decay) or constant, after the warm-up."""
    decay_share: float = 0.2
    """Share of the steps that wsd spends decaying."""
    muon_momentum: float = 0.95
    """Muon's memory of the gradient."""
    weight_decay: float = 0.1
    """Decoupled decay of weight matrices and embeddings; biases, norms and adapters never decay."""
    beta1: float = 0.9
    """AdamW's memory of the gradient."""
    beta2: float = 0.99
    """AdamW's memory of the squared gradient."""
    grad_clip: float = 1.0
    """Largest norm of the whole gradient; 0 leaves it alone."""
    balance_loss: float = 0.01
    """Weight of the loss that keeps a mixture's experts evenly busy."""
    seed: int = 1
    """Determines the initial weights, the order of the data and dropout."""
    order: str = "permutation"
    """Order of the windows: permutation, random or sliding (see the data room)."""
    stride: int | None = None
    """Distance between sliding windows; None is context_length."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 1, "steps", "batch_size", "accumulation", "stride")
        require_at_least(
            self, 0, "warmup_steps", "weight_decay", "grad_clip", "balance_loss", "seed"
        )
        for name in ("beta1", "beta2", "muon_momentum"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "from 0 to below 1")
        require(0 < self.decay_share <= 1, "decay_share", self.decay_share, "above 0, at most 1")
        self._check_learning_rates()
        self._check_budgets()
        require_one_of(self, OPTIMIZERS, "optimizer")
        require_one_of(self, SCHEDULES, "schedule")
        require_one_of(self, ORDERS, "order")

    def _check_learning_rates(self) -> None:
        for name in ("learning_rate", "muon_learning_rate"):
            value = getattr(self, name)
            require(value is None or 0 < value <= 10, name, value, "above 0, at most 10")
        low, most = self.min_learning_rate, self.learning_rate or 10
        expected = f"from 0 to learning_rate = {most}"
        require(low is None or 0 <= low <= most, "min_learning_rate", low, expected)

    def _check_budgets(self) -> None:
        minutes, epochs = self.minutes, self.epochs
        require(minutes is None or 0 < minutes < 1e6, "minutes", minutes, "a positive number")
        require(epochs is None or 0 < epochs < 1e6, "epochs", epochs, "a positive number of passes")
        alone = epochs is None or minutes is None
        require(alone, "epochs", epochs, f"either epochs or minutes = {minutes}, not both")

    def peak_learning_rate(self, emb_dim: int) -> float:
        """Return AdamW's learning rate as set, else the one for a model `emb_dim` wide.

        For matrices GPT-3's table 2.1 (Brown et al., 2020) falls about as 1 / emb_dim, from 6e-4 at
        768. Embeddings alone, where Muon takes the matrices, bear about three times that.
        """
        matrices = min(0.003, 0.4 / emb_dim)
        return self.learning_rate or (3 * matrices if self.optimizer == "muon" else matrices)

    @property
    def peak_muon_learning_rate(self) -> float:
        """Muon's learning rate as set, else 0.01.

        Muon changes a vector by as much in any direction, whatever the width of the matrix.
        """
        return self.muon_learning_rate or 0.01

    @property
    def sequences_per_step(self) -> int:
        """Sequences that one optimizer step learns from."""
        return self.batch_size * self.accumulation


def default_layers(minutes: float | None) -> int | None:
    """Return the layers of the default model in so many minutes; None: those of its preset."""
    return next((n for most, n in FEWER_LAYERS.items() if (minutes or math.inf) < most), None)


def says_length(given: Mapping[str, Any]) -> bool:
    """Return whether settings that were given by name say how long a training is."""
    return any(name in given for name in ("steps", "minutes", "epochs"))


def check_one_length(given: Mapping[str, Any]) -> None:
    """Refuse settings that were given by name and say the length of a training twice."""
    if {"steps", "epochs"} <= given.keys():
        raise ConfigError(
            f"steps = {given['steps']} with epochs = {given['epochs']}: passes over the text are a "
            "number of steps too; leave out one of the two"
        )
