"""The third kind of training: a GPT learns to answer, in the turns of a chat template."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from groundup.adapters import adapter_shapes, attach
from groundup.config import GPTConfig, TrainConfig, as_table, foreign_parts
from groundup.data.dialogue import Dialogue, PlainText
from groundup.evaluate.loss import exp
from groundup.finetune.dialogue_rows import Learnable, learnable
from groundup.finetune.example import example_pieces
from groundup.finetune.instruct_step import InstructStep
from groundup.finetune.mixed_text import targets_of
from groundup.finetune.packed_loss import packed_loss
from groundup.finetune.packing import PackedRows, packed
from groundup.finetune.settings import MAX_LENGTH, InstructSettings
from groundup.generate.generate import stream_from
from groundup.generate.replies import DialogueIds
from groundup.generate.sampling import SamplingConfig
from groundup.generate.template import ChatTemplate
from groundup.model import GPT, shapes_of
from groundup.optim.step import Step
from groundup.plan import Packed, Plan, make_plan
from groundup.processes.alone import Alone
from groundup.runs.assistant import ASSISTANT
from groundup.tokenizer import Tokenizer
from groundup.train.choices import Choices
from groundup.train.job import Job
from groundup.train.listener import Screen
from groundup.train.records import Between
from groundup.train.validate import together

Entries = Sequence[Dialogue | PlainText]

SHORTEST_ROW = 512
"""Tokens of a row into which dialogues are packed, at least: more of them fill it better."""


@dataclass(frozen=True)
class Found:
    """What a validation of an assistant found."""

    loss: float
    """Mean cross entropy of a token of the replies, in nats."""
    tokens: int

    def figures(self) -> dict[str, float]:
        """Return what a line of metrics.jsonl says of it."""
        return {"val_loss": self.loss, "val_perplexity": exp(self.loss)}


class InstructJob(Job[GPT]):
    """What every training of an assistant does, wherever its dialogues are."""

    kind = ASSISTANT

    asked: InstructSettings
    """As asked for, before anything is decided."""
    tokenizer: Tokenizer
    """With the special tokens that the template writes."""
    template: ChatTemplate
    start_token: int | None = None
    """The token that begins every text, where the model knows one."""

    @property
    @abstractmethod
    def gpt(self) -> GPT:
        """The model that it is made from, with a row for every token."""

    @abstractmethod
    def entries(self, split: str) -> Entries:
        """Return what to learn from ("train"), and what validates ("val")."""

    def mixed_text(self, n_targets: int) -> list[DialogueIds]:
        """Return rows of another text to go on learning, beside so many targets of replies."""
        return []

    @cached_property
    def max_length(self) -> int:
        """Tokens of a dialogue that are read."""
        return self.asked.max_length or min(MAX_LENGTH, self.config.context_length)

    @cached_property
    def learnt(self) -> Learnable:
        """The dialogues to learn from, as ids, and what was cut off."""
        return self._learnable(self.entries("train"))

    @cached_property
    def validating(self) -> Learnable:
        """Those that validate, as ids; in an order of which any beginning is fair."""
        entries = sorted(self.entries("val"), key=lambda entry: entry.normalised)
        return self._learnable(entries)

    def _learnable(self, entries: Entries) -> Learnable:
        how = self.template, self.tokenizer, self.max_length, self.start_token
        return learnable(entries, *how)

    @cached_property
    def train_rows(self) -> list[DialogueIds]:
        """All to learn from: the dialogues, and what is mixed in."""
        rows = self.learnt.rows
        return [*rows, *self.mixed_text(targets_of(rows))]

    @cached_property
    def row_length(self) -> int:
        """Tokens of a row, in which several dialogues stand side by side."""
        longest = max(len(row.ids) - 1 for row in [*self.learnt.rows, *self.validating.rows])
        return min(self.max_length, max(longest, SHORTEST_ROW))

    @property
    def widest(self) -> GPTConfig:
        """The model with a context as long as a row."""
        return self.config.replace(context_length=self.row_length)

    def plan(self, settings: TrainConfig) -> Plan:
        """Return what the training takes: memory, work, steps."""
        shapes = shapes_of(self.gpt) if foreign_parts(self.config) else None
        counted = 1.0 if self.asked.mix_text else self._most_counted(settings)
        return make_plan(
            self.widest,
            replace(settings, epochs=None),
            train_tokens=self.n_tokens,
            parameters=shapes,
            packed=Packed(counted=counted),
        )

    def _most_counted(self, settings: TrainConfig) -> float:
        """Return the largest share of a batch's places whose targets count, at most."""
        rows, n = self.learnt.rows, settings.batch_size
        packs = packed([len(row.ids) - 1 for row in rows], self.row_length)
        counts = sorted(targets_of([rows[i] for i in pack]) for pack in packs)
        return sum(counts[-n:]) / (len(counts[-n:]) * self.row_length)

    @property
    def extra(self) -> dict[str, tuple[int, ...]]:  # type: ignore[override]
        """The tensors of the adapters, if any."""
        return adapter_shapes(self.config, self.settings.method, self.settings.lora_rank)

    def decide(self, choices: Choices, screen: Screen) -> dict[str, Any]:
        """Show the first example; return what run.toml says of the job."""
        left_out = set(self.learnt.left_out)
        first = next(one.where for one in self.entries("train") if one.where not in left_out)
        screen.example(first, example_pieces(self.learnt.rows[0], self.tokenizer))
        settings = as_table(replace(self.asked, max_length=self.max_length))
        return {"settings": settings | {"row_length": self.row_length}}

    def model(self, seed: int) -> GPT:
        """Return the model that it is made from, with new adapters if these alone learn."""
        if (how := self.settings).adapts:
            attach(self.gpt, how.method, how.lora_rank, how.lora_alpha, seed)
        return self.gpt

    def source(self, settings: TrainConfig) -> PackedRows:
        """Return the dialogues, packed into rows."""
        how = settings.batch_size, settings.seed, settings.accumulation
        return PackedRows(self.train_rows, self.row_length, *how)

    def step(self, model: GPT, choices: Choices) -> InstructStep:
        """Return the model with the loss of its replies."""
        c = choices.config
        step = InstructStep(model, c.loss, c.balance_loss, c.loss_chunk, choices.copy_dtype)
        step.keeps_frozen = self.base is None
        return step

    def evaluate(
        self, step: Step[GPT], choices: Choices, world: Alone, most: int | None, between: Between
    ) -> Found | None:
        """Predict the replies that validate."""
        rows = self.validating.rows
        if not rows:
            return None
        # The last one, of all dialogues, is what `load` will find: in fp32.
        with choices.autocast() if most else contextlib.nullcontext():
            loss, n_targets = world.within(
                lambda: packed_loss(step.model, rows, self.row_length, most, between)
            )
        return Found(loss, n_targets)

    @cached_property
    def turn_ends(self) -> tuple[int, ...]:
        """What ends a reply."""
        return tuple(self.template.turn_ends(self.tokenizer))

    @cached_property
    def shown(self) -> tuple[str, list[int]] | None:
        """A question to show how the model answers by now: the words, and the whole as ids."""
        talks = [one for one in self.entries("val") if isinstance(one, Dialogue)]
        if not talks:
            return None
        talk = min(talks, key=lambda one: one.normalised)
        question = talk.messages[:-1]
        ids = self.template.encode(self.tokenizer, question)
        return (question[-1]["content"], ids) if len(ids) < self.config.context_length else None

    def sample(
        self, step: Step[GPT], choices: Choices, world: Alone, between: Between
    ) -> tuple[str, str] | None:
        """Answer a question of the dialogues that validate."""
        if self.shown is None:
            return None
        question, ids = self.shown
        sampling = SamplingConfig(
            max_tokens=choices.config.sample_tokens,
            temperature=0.0,
            stop_tokens=self.turn_ends,
        )
        model = world.writer(step.model)
        pieces = stream_from(model, self.tokenizer, ids, sampling, lookup=False)
        return question + "\n", together(pieces, world, between)
