"""The first kind of training: a GPT learns to predict each next token of a text."""

from __future__ import annotations

import contextlib
import math
from dataclasses import asdict
from functools import cached_property
from typing import Any, Self

from groundup.base.signals import Requests
from groundup.config import GPTConfig, TrainConfig
from groundup.data import Batches, PreparedData, TokenSplit, open_prepared, prepare
from groundup.evaluate import Evaluation, evaluate_loss
from groundup.generate import stream
from groundup.model import GPT
from groundup.optim.step import Step, TrainStep
from groundup.processes.alone import Alone
from groundup.processes.launch import place
from groundup.runs import RunFolder
from groundup.runs.generation import with_end_of_text
from groundup.runs.manifest import PRETRAINING
from groundup.tokenizer import Tokenizer
from groundup.tokenizer.interface import REPLACEMENT
from groundup.train.choices import Choices
from groundup.train.driver import TrainRun, drive
from groundup.train.duties import Between
from groundup.train.job import Job
from groundup.train.listener import Screen
from groundup.train.recorder import Recorder
from groundup.train.request import TrainRequest
from groundup.train.resume import Identity
from groundup.train.start import Start, new_model

EVALUATED_AT_ONCE = 4096
"""Validation tokens that go through the model together, where a training batch has fewer."""
PROMPT_CHARACTERS = 24
"""Least length of a prompt taken from the validation text; it goes on to the end of the word."""
UNITS = ("tokens", "bytes", "documents")


def train_run(
    request: TrainRequest,
    screen: Screen,
    started: float | None = None,
    requests: Requests | None = None,
) -> TrainRun:
    """Train as requested, or go on where the same request stopped; return how it ended.

    `requests` are what signals have asked for since the process began, where somebody listened. A
    process that a launcher started as one of several trains together with the others.

    Raises `UsageError` when the folder holds a run of other settings, `RunError` when it is in use
    or damaged, and whatever the text, the machine or the disk give reason to.
    """
    return drive(Pretraining(request), Recorder(request.folder), screen, started, requests)


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

    def evaluate(
        self, step: Step[GPT], choices: Choices, world: Alone, most: int | None, between: Between
    ) -> Evaluation | None:
        """Predict the validation text."""
        val = self.splits[1]
        if val.n_tokens < 2:
            return None
        windows = max(choices.config.batch_size, EVALUATED_AT_ONCE // self.config.context_length)
        # The last one, of the whole split, is what `groundup evaluate` will find: in fp32.
        with choices.autocast() if most else contextlib.nullcontext():
            return world.within(
                lambda: evaluate_loss(
                    step.model,
                    val,
                    batch_size=windows,
                    max_tokens=most,
                    progress=lambda done, total: between(),
                    helpers=world,
                )
            )

    def sample(
        self, step: Step[GPT], choices: Choices, world: Alone, between: Between
    ) -> tuple[str, str]:
        """Continue a line of the validation text, or the prompt that was asked for."""
        settings, pieces = choices.config, list[str]()
        prompt = settings.sample_prompt or prompt_from(self.tokenizer, self.splits[1])
        model, length = world.writer(step.model), settings.sample_tokens
        written = stream(model, self.tokenizer, prompt, max_tokens=length, seed=settings.seed)
        while True:  # the first process writes, the others wait for its end
            piece = next(written, None) if world.rank == 0 else None
            if not any(world.agree(piece is not None)):
                return prompt, "".join(pieces)
            pieces.append(piece or "")
            between()


class Pretraining(NextToken):
    """A training by request: of a preset or of the model of another run, on texts on disk."""

    def __init__(self, request: TrainRequest) -> None:
        self.request = request
        self.settings = request.train
        self.extend = request.extend
        self.own_process = request.own_process

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

    @classmethod
    def recorded(cls, folder: RunFolder) -> Self:
        """Return the job of a run, which needs its text no more."""
        manifest = folder.read()
        model = asdict(folder.model_config(manifest))
        return cls(TrainRequest(model_changes=model, train=folder.train_config(manifest)))

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
        verify = (own := place()) is None or own.rank == 0
        return self.data.tokens("train", verify=verify), self.data.tokens("val", verify=verify)

    def identity(self) -> Identity:
        """Return the request, with what its text and its base turned out to be."""
        read = with_end_of_text({"fingerprint": self.data.fingerprint}, self.tokenizer.given_end)
        return self.request.identity(self.config, {"data": read, **self.start.identity})

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
        """Return a new model, or that of the base."""
        return self.start.model(self.config, seed)

    def skeleton(self) -> GPT:
        """Return a model that is about to be filled from a checkpoint."""
        return new_model(self.config, 0)

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


def prompt_from(tokenizer: Tokenizer, split: TokenSplit) -> str:
    """Return the beginning of a line from the middle of `split`, for the model to continue."""
    start = split.n_tokens // 2
    ids = split.read(start, min(32 * PROMPT_CHARACTERS, split.n_tokens - start)).tolist()
    text = tokenizer.decode(ids).lstrip(REPLACEMENT)  # the middle may be that of a character
    text = (text.partition("\n\n")[2] or text.partition("\n")[2] or text).strip()
    end = text.find(" ", PROMPT_CHARACTERS)
    return text[: end if end > 0 else PROMPT_CHARACTERS] or " "
