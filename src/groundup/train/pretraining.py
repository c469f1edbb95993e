"""The first kind of training: a GPT learns to predict each next token of a text."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

from groundup.adapters import attach
from groundup.config import GPTConfig, TrainConfig, adapter_shapes, as_table
from groundup.data import Batches, PreparedData, TokenSplit, open_prepared, prepare
from groundup.evaluate import Evaluation
from groundup.model import GPT
from groundup.optim.step import Step, TrainStep
from groundup.processes.alone import Alone
from groundup.processes.launch import is_first
from groundup.runs import RunFolder
from groundup.runs.generation import with_end_of_text
from groundup.runs.manifest import PRETRAINING, BaseTable
from groundup.tokenizer import Tokenizer
from groundup.train.choices import Choices
from groundup.train.job import Job
from groundup.train.listener import Screen
from groundup.train.records import Between
from groundup.train.request import TrainRequest
from groundup.train.resume import Identity
from groundup.train.start import Start, new_model
from groundup.train.validate import prompt_from, validate, write

UNITS = ("tokens", "bytes", "documents")


class NextToken(Job[GPT]):
    """What every training on a text does, wherever the text is and whatever the model was."""

    kind = PRETRAINING

    tokenizer: Tokenizer
    splits: tuple[TokenSplit, TokenSplit]
    """The tokens to learn from, and those that validate."""

    def steps(self, epochs: float, settings: TrainConfig) -> int:
        """Return how many steps make so many passes over the text."""
        assert self.n_tokens is not None, "the text is prepared"
        per_step = settings.sequences_per_step * self.config.context_length
        return steps_of(epochs, self.n_tokens, per_step)

    def source(self, settings: TrainConfig) -> Batches:
        """Return windows of the text."""
        return Batches(
            self.splits[0],
            self.config.context_length,
            settings.batch_size,
            settings.seed,
            order=settings.order,
            stride=settings.stride,
        )

    def step(self, model: GPT, choices: Choices) -> TrainStep:
        """Return the model with the loss of its predictions."""
        c = choices.config
        return TrainStep(model, c.loss, c.balance_loss, c.loss_chunk, choices.copy_dtype)

    @property
    def n_val_tokens(self) -> int:
        """How many tokens there are to validate on."""
        return self.splits[1].n_tokens

    def evaluate(
        self, step: Step[GPT], choices: Choices, world: Alone, most: int | None, last: bool,
        between: Between,
    ) -> Evaluation | None:  # fmt: skip
        """Predict the validation text."""
        return validate(step, self.splits[1], choices, world, most, last, between)

    def sample(
        self, step: Step[GPT], choices: Choices, world: Alone, between: Between
    ) -> tuple[str, str]:
        """Continue a line of the validation text, or the prompt that was asked for."""
        prompt = choices.config.sample_prompt or prompt_from(self.tokenizer, self.splits[1])
        return prompt, write(step, self.tokenizer, prompt, choices, world, between)


class Pretraining(NextToken):
    """A training by request: of a preset or of the model of another run, on texts on disk."""

    def __init__(self, request: TrainRequest) -> None:
        self.request = request
        self.settings = request.train
        self.extend = request.extend
        self.own_process, self.is_named = request.own_process, request.reads is None

    @cached_property
    def start(self) -> Start:
        """What it starts from, asked for when all processes have met: none waits in vain."""
        return self.request.start(self.request.folder)

    @cached_property
    def config(self) -> GPTConfig:  # type: ignore[override]
        """The model; the text may have fewer different tokens than were asked for."""
        return self.start.config

    @cached_property
    def rate_share(self) -> float:  # type: ignore[override]
        """Less than 1 for a model that has learnt already."""
        return self.start.rate_share

    @cached_property
    def base(self) -> BaseTable | None:  # type: ignore[override]
        """The checkpoint that adapters learn beside; None where every weight learns."""
        return self.start.base

    @cached_property
    def extra(self) -> dict[str, tuple[int, ...]]:  # type: ignore[override]
        """The tensors of the adapters, if any."""
        return adapter_shapes(self.config, self.settings.method, self.settings.lora_rank)

    def prepare(self, screen: Screen) -> None:
        """Encode the text, or find that this was done before."""
        request = self.request
        if request.prepared is not None:
            self.data: PreparedData = open_prepared(request.prepared)
        else:
            self.data = prepare(
                list(request.sources),
                self.start.tokenizer,
                self.config.vocab_size,
                request.data_folder,
                progress=screen.preparing,
                **{**self.start.text_options, **request.text_options},
            )
        screen.prepared(self.data)
        self.tokenizer = self.data.tokenizer
        self.n_tokens = self.data.manifest["splits"]["train"]["tokens"]
        if request.base is None:
            self.config = self.config.replace(vocab_size=self.tokenizer.vocab_size)

    @cached_property
    def splits(self) -> tuple[TokenSplit, TokenSplit]:  # type: ignore[override]
        """The tokens to learn from, and those that validate; one process checks every byte."""
        verify = is_first()
        return self.data.tokens("train", verify=verify), self.data.tokens("val", verify=verify)

    def identity(self) -> Identity:
        """Return the request, with what its text and its base turned out to be."""
        read = with_end_of_text({"fingerprint": self.data.fingerprint}, self.tokenizer.given_end)
        found = {"model": as_table(self.config), "data": read, **self.start.identity}
        return self.request.identity(self.start.config, found)

    def data_table(self) -> dict[str, Any]:
        """Return where the text is from, and how it was divided."""
        data, tokenizer = self.data, self.tokenizer
        splits = data.manifest["splits"]
        return {
            "sources": list(self.request.sources),
            "fingerprint": data.fingerprint,
            "folder": str(data.folder),
            "tokenizer": tokenizer.kind,
            "tokenizer_fingerprint": tokenizer.fingerprint,
            "vocab_size": tokenizer.vocab_size,
            "split_rule": data.split_rule,
            **{f"{name}_{unit}": splits[name][unit] for name in ("train", "val") for unit in UNITS},
        }

    def model(self, seed: int) -> GPT:
        """Return a new model, or that of the base, with new adapters if these alone learn."""
        model, s = self.start.model(self.config, seed), self.settings
        if s.adapts:
            attach(model, s.method, s.lora_rank, s.lora_alpha, seed)
        return model

    def skeleton(self) -> GPT:
        """Return a model that is about to be filled from a checkpoint."""
        return self.model(0) if self.settings.adapts else new_model(self.config, 0)

    def step(self, model: GPT, choices: Choices) -> TrainStep:
        """Return the model with the loss; what its base has is kept there."""
        step = super().step(model, choices)
        step.keeps_frozen = self.base is None
        return step

    def write(self, folder: RunFolder) -> None:
        """Write the tokenizer, and how to talk with the base where it says so."""
        self.tokenizer.save(folder.tokenizer)
        generation = with_end_of_text(self.start.generation, self.tokenizer.given_end)
        folder.write_chat_settings(self.start.chat_template, generation)


def steps_of(epochs: float, n_tokens: int, tokens_per_step: int) -> int:
    """Return the fewest steps that learn from `n_tokens` `epochs` times over; 1 or more.

    `tokens_per_step` is sequences_per_step times context_length. The last step may begin the next
    pass.
    """
    return max(1, math.ceil(epochs * n_tokens / tokens_per_step))
