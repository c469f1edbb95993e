"""A whole plan: what a model is, what training it takes, and whether this machine can."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from groundup.base.errors import UsageError
from groundup.base.hardware import available_memory
from groundup.config import GPTConfig, Parameter, TrainConfig, as_table, foreign_parts
from groundup.plan.calibration import Calibration
from groundup.plan.classifier import (
    HEAD,
    Texts,
    classifier_flops_per_token,
    classifier_learning,
    classifier_memory,
    classifier_parameters,
    classifier_step_seconds,
    reading_flops_per_token,
    smaller_classifiers,
)
from groundup.plan.count import BYTES, Count, block_parts, conventions, count_parameters
from groundup.plan.flops import forward_flops_per_token
from groundup.plan.generation import STORED_FORMATS, generation_memory
from groundup.plan.memory import (
    Memory,
    learning_parameters,
    least_training_memory,
    training_memory,
)
from groundup.plan.packed import Packed, packed_memory, smaller_packed
from groundup.plan.speed import expected_step_seconds, training_flops_of
from groundup.plan.units import MIB

TOKENS_PER_PARAMETER = 20
"""Training tokens for each parameter that make the best model of a given amount of computing
(Hoffmann et al., 2022, "Chinchilla"); more of them make a small model better still."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `make_plan` found; figures that depend on something unknown are None."""

    config: GPTConfig
    train: TrainConfig | None
    count: Count
    block: dict[str, int]
    conventions: list[Count]
    training: Memory | None
    generation: dict[str, Memory]
    """By the format of the weights; empty where nothing is written, or what does so is unknown."""
    forward_flops_per_token: int | None
    flops_per_token: int | None
    """Of training: forward and backward."""
    steps: int | None
    step_seconds: float | None
    """The least that a step takes, from a calibration."""
    train_tokens: int | None
    """Tokens of the training text."""
    own_parameters: int
    """Of all that is there: the model, and an adapter's or a head's beside it."""
    learning: int
    """How many of them learn."""
    texts: Texts | None = None
    """What a classifier learns from; None where a model of texts learns to go on with them."""
    sequences_per_row: int = 1
    """Sequences that a row of a batch has: 2 where it is a pair of them."""
    tokens_per_row: float | None = None
    """Tokens of these together, in the mean; None where each is as long as the context."""
    packed: Packed | None = None
    """Of dialogues, how they are packed into rows."""
    read: str = "text"
    """What a pass goes over: the text, or the rows, pairs or questions of a model that has learnt
    before."""

    @property
    def parameters(self) -> int:
        """The model's parameters in total."""
        return self.count.total

    @property
    def memory(self) -> dict[str, int]:
        """Bytes that the plan needs: the terms of training, or of generation, and their total."""
        chosen = self.training or self.generation.get("fp32")
        return {**chosen.terms, "total": chosen.total} if chosen else {}

    @property
    def unknown_memory(self) -> tuple[str, ...]:
        """Terms that `memory` lacks, as they depend on parts that groundup does not have."""
        return self.training.unknown if self.training else ()

    @property
    def tokens_per_step(self) -> int | None:
        """Tokens that one optimizer step learns from."""
        if self.train is None:
            return None
        length: float = self.config.context_length
        if self.texts:
            length = self.texts.mean_length or self.texts.longest or length
        tokens = self.tokens_per_row or self.sequences_per_row * length
        return round(self.train.sequences_per_step * tokens)

    @property
    def tokens(self) -> int | None:
        """Tokens that the whole run learns from, repetitions included."""
        return None if self.steps is None else self.steps * (self.tokens_per_step or 0)

    @property
    def passes(self) -> float | None:
        """How often the run goes over its text."""
        if self.texts and self.train:
            read = None if self.steps is None else self.steps * self.train.sequences_per_step
            return read / self.texts.n_texts if read and self.texts.n_texts else None
        if self.tokens is None or not self.train_tokens:
            return None
        return self.tokens / self.train_tokens

    @property
    def work(self) -> int | None:
        """Operations of the whole run; a head learns from what was read once."""
        if self.texts and self.texts.layers == HEAD:
            return self.texts.n_tokens * (self.forward_flops_per_token or 0) or None
        if self.tokens is None or self.flops_per_token is None:
            return None
        return self.tokens * self.flops_per_token

    @property
    def tokens_per_parameter(self) -> float | None:
        """Tokens of the run for each parameter; see `TOKENS_PER_PARAMETER`."""
        return None if self.tokens is None else self.tokens / self.parameters

    @property
    def seconds(self) -> float | None:
        """The least seconds that the run takes, from a calibration."""
        if self.steps is None or self.step_seconds is None:
            return None
        return self.steps * self.step_seconds

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain values, for JSON; bytes are bytes, not MB."""
        generation = {name: _memory_table(memory) for name, memory in self.generation.items()}
        return {
            "model": as_table(self.config),
            "parameters": self.parameters,
            "active_parameters": self.count.active,
            "convention": self.count.convention,
            "parts": self.count.parts,
            "block": self.block,
            "storage_bytes": {name: self.count.storage(name) for name in BYTES},
            "storage_mib": {name: round(self.count.storage(name) / MIB, 2) for name in BYTES},
            "conventions": [
                {
                    "convention": count.convention,
                    "parameters": count.total,
                    "fp32_mib": round(count.storage() / MIB, 2),
                }
                for count in self.conventions
            ],
            "training_memory_bytes": self.training and _memory_table(self.training),
            "generation_memory_bytes": generation.get("fp32"),
            "generation_memory_bytes_by_format": generation,
            "flops_per_token": {
                "forward": self.forward_flops_per_token,
                "training": self.flops_per_token,
            },
            "learning_parameters": self.learning,
            "texts": self.texts and {"layers": self.texts.layers, "count": self.texts.n_texts},
            "run": {
                "steps": self.steps,
                "tokens_per_step": self.tokens_per_step,
                "tokens": self.tokens,
                "text_tokens": self.train_tokens,
                "passes": self.passes,
                "tokens_per_parameter": self.tokens_per_parameter,
                "least_seconds_per_step": self.step_seconds,
                "least_seconds": self.seconds,
            },
        }


def _memory_table(memory: Memory) -> dict[str, Any]:
    unknown = {"unknown": list(memory.unknown)} if memory.unknown else {}
    return {"moment": memory.moment, **memory.terms, "total": memory.total, **unknown}


def make_plan(
    config: GPTConfig,
    train: TrainConfig | None = None,
    train_tokens: int | None = None,
    calibration: Calibration | None = None,
    parameters: Iterable[Parameter] | None = None,
    texts: Texts | None = None,
    sequences_per_row: int = 1,
    tokens_per_row: float | None = None,
    packed: Packed | None = None,
    read: str = "text",
) -> Plan:
    """Work out everything that follows from a model, its training and the size of its text.

    A time is given only from a `calibration`; a run of so many minutes has no number of steps
    until its speed is known. Of a model with a part that groundup does not have `parameters` tells
    what it holds, as `groundup.model.shapes_of` yields them; what it computes remains unknown.
    With `texts` it is a classifier's; with `packed` rows are of several dialogues. A row of a batch
    may have several sequences, as pairs do, the longest as long as the context, and in the mean so
    many tokens. `read` is what a pass goes over.
    """
    steps = train.steps if train and train.minutes is train.epochs is None else None
    if foreign_parts(config) and parameters is not None:
        listed = list(parameters)
        count = count_parameters(config, listed)
        return Plan(
            config=config,
            train=train,
            count=count,
            block=block_parts(config, listed),
            conventions=[count],
            training=least_training_memory(train, listed) if train else None,
            generation={},
            forward_flops_per_token=None,
            flops_per_token=None,
            steps=steps,
            step_seconds=None,
            train_tokens=train_tokens,
            own_parameters=count.total,
            learning=count.total,
            texts=texts,
            read=read,
        )
    if texts is not None and train is not None:
        return _classifier_plan(config, train, texts, steps, calibration)
    rows = with_sequences(train, sequences_per_row) if train else None
    step_seconds = expected_step_seconds(config, rows, calibration) if rows else None
    count = count_parameters(config)
    learning = learning_parameters(config, train) if train else count.total
    training = _training(config, rows, packed) if rows else None
    return Plan(
        config=config,
        train=train,
        count=count,
        block=block_parts(config),
        conventions=conventions(config),
        training=training,
        generation={name: generation_memory(config, number_format=name) for name in STORED_FORMATS},
        forward_flops_per_token=forward_flops_per_token(config),
        flops_per_token=training_flops_of(config, train),
        steps=steps,
        step_seconds=step_seconds,
        train_tokens=train_tokens,
        own_parameters=count.total + learning * (train is not None and train.adapts),
        learning=learning,
        packed=packed,
        sequences_per_row=sequences_per_row,
        tokens_per_row=tokens_per_row,
        read=read,
    )


def with_sequences(train: TrainConfig, sequences_per_row: int) -> TrainConfig:
    """Return the settings of a training that has as many sequences, one a row."""
    return replace(train, batch_size=train.batch_size * sequences_per_row)


def _training(config: GPTConfig, train: TrainConfig, packed: Packed | None) -> Memory:
    return packed_memory(config, train, packed) if packed else training_memory(config, train)


def _classifier_plan(
    config: GPTConfig,
    train: TrainConfig,
    texts: Texts,
    steps: int | None,
    calibration: Calibration | None,
) -> Plan:
    count = count_parameters(config)
    return Plan(
        config=config,
        train=train,
        count=count,
        block=block_parts(config),
        conventions=conventions(config),
        training=classifier_memory(config, train, texts),
        generation={},
        forward_flops_per_token=reading_flops_per_token(config, texts),
        flops_per_token=classifier_flops_per_token(config, train, texts),
        steps=steps,
        step_seconds=classifier_step_seconds(config, train, texts, calibration),
        train_tokens=texts.n_tokens or None,
        own_parameters=classifier_parameters(config, train, texts),
        learning=classifier_learning(config, train, texts),
        texts=texts,
    )


def check_fits(plan: Plan, available: int | None = None) -> None:
    """Raise `UsageError`, before anything is allocated, for a plan larger than the memory.

    `available` bytes are measured where they are not given; for a GPU, or where the system does
    not tell, nothing is refused. The message has the sum, and settings that would fit.
    """
    on_cpu = plan.train is None or plan.train.device in ("auto", "cpu")
    if available is None and on_cpu:
        available = available_memory()
    needed = plan.memory.get("total", 0)
    if available is None or needed <= available:
        return
    sums = " + ".join(f"{name} {size / MIB:,.0f}" for name, size in plan.memory.items())
    sums = sums.rpartition(" + ")[0] + "".join(f" + {name} ?" for name in plan.unknown_memory)
    fixes = [f"--set {fix}" for fix in _smaller(plan, available)]
    advice = " or ".join(fixes) if fixes else "a smaller model, such as the preset nano"
    what = "training needs" if plan.training else "generating needs"
    what += " at least" if plan.unknown_memory else ""
    raise UsageError(
        f"{what} {needed / MIB:,.0f} MiB ({sums}), but {available / MIB:,.0f} MiB are available; "
        f"what would fit: {advice}"
    )


def remedies(plan: Plan) -> Iterator[tuple[str, int]]:
    """Yield changes of a training's settings that need less memory, and how many bytes in all.

    Those that change nothing of what is learnt come first, the cheapest first.
    """
    config, train = plan.config, plan.train
    assert train is not None, "only a training has them"
    if foreign_parts(config):
        return
    if plan.texts:
        for fix, changed, shorter in smaller_classifiers(config, train, plan.texts):
            yield fix, classifier_memory(config, changed, shorter).total
        return
    if plan.packed:
        for fix, narrower, changed in smaller_packed(config, train, plan.packed):
            yield fix, packed_memory(narrower, changed, plan.packed).total
        return
    if train.checkpoint_activations != "on":
        changed = replace(train, checkpoint_activations="on")
        yield "checkpoint_activations=on", _total(plan, config, changed)
    if train.batch_size % 2 == 0:
        batch, passes = train.batch_size // 2, train.accumulation * 2
        changed = replace(train, batch_size=batch, accumulation=passes)
        settings = f"batch_size={batch} --set accumulation={passes}"
        yield settings, _total(plan, config, changed)
    for name in ("context_length", "n_layers"):
        half = max(1, getattr(config, name) // 2)
        yield f"{name}={half}", _total(plan, config.replace(**{name: half}), train)


def _total(plan: Plan, config: GPTConfig, train: TrainConfig) -> int:
    """Return the bytes of training another model, or with other settings, on the plan's rows."""
    return training_memory(config, with_sequences(train, plan.sequences_per_row)).total


def _smaller(plan: Plan, available: int) -> Iterator[str]:
    """Yield single changes that fit, each halved no more often than it takes."""
    config, train = plan.config, plan.train
    if foreign_parts(config):
        return
    if (plan.texts or plan.packed) and train is not None:
        fixes = ((fix.partition("=")[0], fix, size) for fix, size in remedies(plan))
        fitting = {name: fix for name, fix, size in reversed([*fixes]) if size <= available}
        yield from reversed(fitting.values())
        return
    if train is not None:
        kept = replace(train, checkpoint_activations="on")
        if kept != train and _total(plan, config, kept) <= available:
            yield "checkpoint_activations=on"
        batch, passes = train.batch_size, train.accumulation
        while batch > 1:
            batch, passes = batch // 2, passes * 2
            smaller = replace(train, batch_size=batch, accumulation=passes)
            if _total(plan, config, smaller) <= available:
                yield f"batch_size={batch} --set accumulation={passes}"
                break
    for name in ("context_length", "n_layers", "vocab_size", "n_experts"):
        least = config.n_active_experts if name == "n_experts" else 1
        value = getattr(config, name)
        while value > least:
            value = max(least, value // 2)
            changed = config.replace(**{name: value})
            size = _total(plan, changed, train) if train else generation_memory(changed).total
            if size <= available:
                yield f"{name}={value}"
                break
