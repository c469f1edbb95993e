"""The third kind of training: a GPT learns to answer, in the turns of a chat template."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from groundup.config import TrainConfig, foreign_parts
from groundup.data.dialogue import Message
from groundup.evaluate.loss import exp
from groundup.finetune.assistant.dialogue_rows import Entries, Learnable, last_question
from groundup.finetune.assistant.example import example_pieces
from groundup.finetune.assistant.job import ChatJob
from groundup.finetune.assistant.mixed_text import MixedText, targets_of
from groundup.finetune.assistant.packed_loss import packed_loss
from groundup.finetune.assistant.packing import PackedRows
from groundup.finetune.replies.step import InstructStep
from groundup.model import GPT, shapes_of
from groundup.optim.step import Step
from groundup.plan import Packed, Plan, make_plan
from groundup.processes.alone import Alone
from groundup.train.choices import Choices
from groundup.train.listener import Screen
from groundup.train.records import Between

SHORTEST_ROW = 256
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


class InstructJob(ChatJob):
    """What every training on replies does, wherever its dialogues are."""

    @abstractmethod
    def entries(self, split: str) -> Entries:
        """Return what to learn from ("train"), and what validates ("val")."""

    @cached_property
    def mixed(self) -> MixedText | None:
        """Rows of another text to go on learning beside the dialogues, if any."""
        return None

    @cached_property
    def learnt(self) -> Learnable:
        """The dialogues to learn from, as ids, and what was cut off."""
        return self.learnable_rows(self.entries("train"))

    @cached_property
    def validating(self) -> Learnable:
        """Those that validate, as ids; in an order of which any beginning is fair."""
        entries = sorted(self.entries("val"), key=lambda entry: entry.normalised)
        return self.learnable_rows(entries)

    @cached_property
    def row_length(self) -> int:
        """Tokens of a row, in which several dialogues stand side by side."""
        longest = max(row.n_read for row in [*self.learnt.rows, *self.validating.rows])
        return min(self.max_length, max(longest, SHORTEST_ROW))

    @property
    def question(self) -> Sequence[Message] | None:
        """Messages up to the last reply of a dialogue that validates, if there is one."""
        return last_question(self.entries("val"))

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
            read="rows",
        )

    def _most_counted(self, settings: TrainConfig) -> float:
        """Return the largest share of a batch's places whose targets count, at most."""
        rows, n = self.learnt.rows, settings.batch_size
        packs = PackedRows(rows, self.row_length, n, seed=0).packs
        counts = sorted(targets_of([rows[i] for i in pack]) for pack in packs)
        return sum(counts[-n:]) / (len(counts[-n:]) * self.row_length)

    def decide(self, choices: Choices, screen: Screen) -> dict[str, Any]:
        """Show the first example; return what run.toml says of the job."""
        left_out = set(self.learnt.left_out)
        first = next(one.where for one in self.entries("train") if one.where not in left_out)
        screen.example(first, example_pieces(self.learnt.rows[0], self.tokenizer))
        return super().decide(choices, screen)

    def source(self, settings: TrainConfig) -> PackedRows:
        """Return the dialogues, packed into rows, and what is mixed in."""
        how = settings.batch_size, settings.seed, settings.accumulation
        return PackedRows(self.learnt.rows, self.row_length, *how, mixed=self.mixed)

    def step(self, model: GPT, choices: Choices) -> InstructStep:
        """Return the model with the loss of its replies."""
        c = choices.config
        step = InstructStep(model, c.loss, c.balance_loss, c.loss_chunk, choices.copy_dtype)
        step.keeps_frozen = self.base is None
        return step

    def evaluate(
        self, step: Step[GPT], choices: Choices, world: Alone, most: int | None, last: bool,
        between: Between,
    ) -> Found | None:  # fmt: skip
        """Predict the replies that validate."""
        rows = self.validating.rows
        if not rows:
            return None
        # The last one, of all dialogues, is what `load` will find: in fp32.
        with contextlib.nullcontext() if last else choices.autocast():
            loss, n_targets = world.within(
                lambda: packed_loss(step.model, rows, self.row_length, most, between)
            )
        return Found(loss, n_targets)
