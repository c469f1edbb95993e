"""The settings of each kind of fine-tuning, beside those of its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from groundup.base.errors import ConfigError, shown
from groundup.config import TrainConfig
from groundup.config.adaptation import METHODS
from groundup.config.fields import (
    LATER,
    Settings,
    by_name,
    require,
    require_at_least,
    require_one_of,
)
from groundup.runs.assistant import GRPO, OF_PAIRS, SFT
from groundup.runs.classifier import POOLINGS

LAYERS = ("head", "last", "all")
BALANCES = ("none", "weights")
AUTO = "auto"
DEFAULT_EPOCHS = {"head": 50.0, "last": 5.0, "all": 3.0}
"""Passes over the texts by what learns, where no length was given."""
OF_TEXTS = ("order", "stride", "sample_prompt")
"""Settings of a training on a text alone."""
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


SHARED = {
    "optimizer": "adamw",
    "schedule": "cosine",
    "eval_tokens": EVAL_TOKENS,
    "on_spike": "ignore",
}
"""Settings of a training that are otherwise than in pretraining, of whatever kind."""


def training_defaults(layers: str) -> dict[str, Any]:
    """Return the settings of a training that are otherwise than in pretraining, unless set.

    A step of a head alone, which sees vectors, takes next to no time: larger batches and steps
    bring it as far as a solver gets, and scores in 16 bits would only be rounder. Once most texts
    are decided right, a batch with a wrong one is a leap of the loss, and nothing to be told.
    """
    if layers == "head":
        steps = {"batch_size": 256, "learning_rate": 0.01}
        return {**SHARED, "precision": "fp32", **steps}
    return {**SHARED, "batch_size": 16}


MAX_LENGTH = 1024
"""Tokens of a dialogue that are read at most, unless told otherwise."""
INSTRUCT_EPOCHS = 3.0
"""Passes over the dialogues, where no length was given."""
OBJECTIVES = (AUTO, SFT, *OF_PAIRS, GRPO)


@by_name
@dataclass(frozen=True, kw_only=True)
class InstructSettings(Settings):
    """What an assistant learns with; None and "auto" are decided once and written down."""

    objective: str = AUTO
    """sft: the replies of dialogues; of preferences, dpo: the chosen reply rather than the rejected
    one, as far from what the model says now as `beta` lets it (Rafailov et al., 2023); orpo: the
    chosen reply, and lower odds of the rejected one (Hong et al., 2024); auto: sft of dialogues,
    dpo of preferences."""
    beta: float = 0.1
    """Of dpo, the weight of the penalty for going far from the model as it was; of orpo, the weight
    of the odds ratio."""
    max_length: int | None = None
    """Tokens of a dialogue that are read, the rest is cut off; None is what the model sees, at
    most `MAX_LENGTH`."""
    mix_text: str | None = None
    """A text (a file, a folder or a name) that goes on being learnt beside the dialogues, so that
    less of what the model knew is lost."""
    mix_share: float = 0.2
    """The part of all that counts which is that text's."""
    n_replies: int = 200
    """Test questions, chosen by hash, that are answered before and after."""
    general_text: str | None = None
    """A text on which it is measured what the model has forgotten; None is the validation text of
    the run it is made from, where it was trained here."""
    general_task: str | None = None
    """One of the tasks of `groundup evaluate`, on which that is measured, too; None is none."""
    task_data: str | None = None
    """The documents of that task: a file, or a folder as `groundup evaluate --data` takes it."""
    task_limit: int = field(default=500, metadata={LATER: True})
    """How many of them are asked at most, the first ones."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_one_of(self, OBJECTIVES, "objective")
        require(self.beta > 0, "beta", self.beta, "a positive number")
        require_at_least(self, 2, "max_length")
        require_at_least(self, 0, "n_replies")
        require_at_least(self, 1, "task_limit")
        require(0 <= self.mix_share < 1, "mix_share", self.mix_share, "0 or more, and below 1")


def check_method(given: Mapping[str, Any]) -> None:
    """Refuse as a method what is an objective, of settings that were given by name."""
    if (method := given.get("method")) in OBJECTIVES:
        raise ConfigError(
            f"method = {method}: says which weights learn, {', '.join(METHODS)}; what is learnt "
            f"says --objective {method}"
        )


def check_of_records(given: Mapping[str, Any]) -> None:
    """Refuse settings that say how a text is learnt, where records are; of those given by name."""
    for name in OF_TEXTS:
        if name in given:
            raise ConfigError(
                f"{name} = {shown(given[name])}: says how a text is learnt, not how records are, "
                "each of which comes once in a pass; leave it out"
            )


def check_mix(own: Mapping[str, Any]) -> None:
    """Refuse a share of a text to mix in where no text is given."""
    if own.get("mix_text") is None and own.get("mix_share"):
        raise ConfigError(
            f"mix_share = {own['mix_share']:g}: of which text? give it with --mix-text, or leave "
            "the share out"
        )


def check_task(own: Mapping[str, Any]) -> None:
    """Refuse a task without its documents, and documents without a task."""
    task, data = own.get("general_task"), own.get("task_data")
    if task is not None and data is None:
        raise ConfigError(
            f"general_task = {shown(task)}: where are its documents? give them with --task-data, "
            "a file or a folder as 'groundup evaluate --data' takes it"
        )
    for name, value in (("task_data", data), ("task_limit", own.get("task_limit"))):
        if task is None and value is not None:
            raise ConfigError(
                f"{name} = {shown(value)}: of which task? name it with --general-task, or leave "
                "this out"
            )


def instruct_defaults() -> dict[str, Any]:
    """Return the settings of training an assistant that are otherwise than in pretraining.

    Larger batches leave a short training few steps: LoRA on SmolLM2-135M and 1,800 short questions,
    behind about 90,000 tokens, was at a validation loss of 0.57 with batches of 2,048 tokens, at
    0.42 with 1,024 and at 0.40 with 512.
    """
    return {**SHARED, "batch_size": 2}
