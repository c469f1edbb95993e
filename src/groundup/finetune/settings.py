"""The settings of a classifier, beside those of its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from groundup.base.errors import ConfigError
from groundup.config import TrainConfig
from groundup.config.fields import Settings, by_name, require_at_least, require_one_of
from groundup.runs.classifier import POOLINGS

LAYERS = ("head", "last", "all")
BALANCES = ("none", "weights")
AUTO = "auto"
DEFAULT_EPOCHS = {"head": 50.0, "last": 5.0, "all": 3.0}
"""Passes over the texts by what learns, where no length was given."""
EVAL_TOKENS = 32_768
"""Of the validation texts while training: fewer would choose the checkpoint by a handful of texts
of a rare class."""


@by_name
@dataclass(frozen=True, kw_only=True)
class ClassifierSettings(Settings):
    """What a classifier learns with; "auto" is decided once and written down."""

    layers: str = "all"
    """What learns beside the head: nothing (head), the last block and norm (last), all."""
    pooling: str = AUTO
    """What the head sees: the last token's vector (last), the mean over all tokens (mean), or the
    one with which a head on the untrained model does better on the validation texts (auto)."""
    balance: str = "none"
    """weights: each class counts alike, as an example counts more the rarer its class is."""
    max_length: int | None = None
    """Tokens of a text that are read, the rest is cut off; None is the model's context_length."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_one_of(self, LAYERS, "layers")
        require_one_of(self, (AUTO, *POOLINGS), "pooling")
        require_one_of(self, BALANCES, "balance")
        require_at_least(self, 1, "max_length")


def check_layers(classifier: ClassifierSettings, train: TrainConfig) -> None:
    """Refuse adapters where not all layers learn."""
    if train.adapts and classifier.layers != "all":
        raise ConfigError(
            f"layers = '{classifier.layers}' with method = {train.method}: adapters go into all "
            "layers; leave out one of the two"
        )


def learns_all(classifier: ClassifierSettings, train: TrainConfig) -> bool:
    """Return whether every weight learns, so that a checkpoint holds all of the model."""
    return classifier.layers == "all" and not train.adapts


def training_defaults(layers: str) -> dict[str, Any]:
    """Return the settings of a training that are otherwise than in pretraining, unless set.

    A step of a head alone, which sees vectors, takes next to no time: larger batches and steps
    bring it as far as a solver gets, and scores in 16 bits would only be rounder. Once most texts
    are decided right, a batch with a wrong one is a leap of the loss, and nothing to be told.
    """
    shared = {"optimizer": "adamw", "eval_tokens": EVAL_TOKENS, "on_spike": "ignore"}
    if layers == "head":
        steps = {"batch_size": 256, "learning_rate": 0.01}
        return {**shared, "precision": "fp32", **steps}
    return {**shared, "batch_size": 16}
