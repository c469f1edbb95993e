"""The fourth kind of training: of two replies to a question, a GPT learns which was chosen."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from groundup.base.words import counted
from groundup.config import TrainConfig
from groundup.data.dialogue import Message, Preference
from groundup.finetune.assistant.example import example_pieces
from groundup.finetune.assistant.job import ChatJob
from groundup.finetune.assistant.packed_loss import TOKENS_AT_ONCE
from groundup.finetune.preferences.figures import PreferenceFigures, preference_figures
from groundup.finetune.preferences.rows import (
    Numbers,
    Pair,
    Pairs,
    PreferenceRows,
    preference_pairs,
    reference_log_probs,
)
from groundup.finetune.preferences.step import DPOStep, ORPOStep, PreferenceStep
from groundup.model import GPT
from groundup.optim.narrow import NarrowCopy
from groundup.optim.step import Step
from groundup.plan import Plan, make_plan
from groundup.processes.alone import Alone
from groundup.runs.assistant import DPO, ORPO
from groundup.train.choices import Choices
from groundup.train.listener import Screen
from groundup.train.records import Between

STEPS: dict[str, Callable[..., PreferenceStep]] = {DPO: DPOStep, ORPO: ORPOStep}


class PreferenceJob(ChatJob):
    """What every training on preferences does, wherever they are.

    For `dpo` a reference says how likely each reply is: the model as it was, read once before the
    first step. What it said is not kept on disk: a run that goes on reads it again, with the same
    bits, and says so, as that may take minutes.
    """

    objective = DPO
    _choices: Choices | None = None
    """Those that the step was made by: the reference is read in the same precision."""

    @abstractmethod
    def preferences(self, split: str) -> Sequence[Preference]:
        """Return what to learn from ("train"), and what validates ("val")."""

    @cached_property
    def learnt(self) -> Pairs:
        """The pairs to learn from, as ids, and what was cut off."""
        return self._pairs(self.preferences("train"))

    @cached_property
    def validating(self) -> Pairs:
        """Those that validate, as ids; in an order of which any beginning is fair."""
        return self._pairs(sorted(self.preferences("val"), key=lambda one: one.normalised))

    def _pairs(self, preferences: Sequence[Preference]) -> Pairs:
        return preference_pairs(preferences, self.template, self.tokenizer, self.max_length)

    @property
    def n_tokens(self) -> int:  # type: ignore[override]
        """Tokens to learn from, of both dialogues of each pair."""
        return self.learnt.n_tokens

    @property
    def row_length(self) -> int:
        """Tokens of the longest dialogue."""
        return max(self.learnt.longest, self.validating.longest)

    def plan(self, settings: TrainConfig) -> Plan:
        """Return what the training takes: a row of a batch is two dialogues."""
        return make_plan(
            self.widest,
            replace(settings, epochs=None),
            self.n_tokens,
            sequences_per_row=2,
            tokens_per_row=self.n_tokens / len(self.learnt.pairs),
            read="pairs",
        )

    def steps(self, epochs: float, settings: TrainConfig) -> int:
        """Return how many steps make so many passes over the pairs."""
        return max(1, math.ceil(epochs * len(self.learnt.pairs) / settings.sequences_per_step))

    @property
    def question(self) -> Sequence[Message] | None:
        """The messages of a preference that validates, if there is one."""
        asked = self.preferences("val")
        return min(asked, key=lambda one: one.normalised).messages if asked else None

    def decide(self, choices: Choices, screen: Screen) -> dict[str, Any]:
        """Show the first pair; return what run.toml says of the job."""
        where = self.preferences("train")[self.learnt.kept[0]].where
        for which, row in zip(("chosen", "rejected"), self.learnt.pairs[0].both, strict=True):
            screen.example(f"{where}, {which}", example_pieces(row, self.tokenizer))
        return super().decide(choices, screen)

    def step(self, model: GPT, choices: Choices) -> PreferenceStep:
        """Return the model with the loss of its preferences."""
        self._choices, c = choices, choices.config
        # A loss for each target takes two arrays of logits at once, where the plan has one.
        how = choices.copy_dtype, c.balance_loss, c.loss_chunk // 2
        step = STEPS[self.objective](model, self.asked.beta, *how)
        step.keeps_frozen = self.base is None
        return step

    def source(self, settings: TrainConfig) -> PreferenceRows:
        """Return the pairs to learn from, with what the reference says of them.

        It is read here, after the step was made: in a new run by the model that is to learn, in
        one that goes on by that which it was made from, which is then let go.
        """
        pairs = self.learnt.pairs
        self._references: dict[str, Numbers] = {"train": np.zeros((len(pairs), 2))}
        if self.objective == DPO:
            assert self._choices is not None, "its step was made"
            self._references = self._read_reference(self._choices)
            self.__dict__.pop("gpt", None)
        how = settings.batch_size, settings.seed, settings.accumulation
        return PreferenceRows(pairs, self._references["train"], *how)

    def _read_reference(self, choices: Choices) -> dict[str, Numbers]:
        """Return what the model says as it was, of the pairs that train and that validate.

        As each is read later: the former by steps, which a narrow copy may compute.
        """
        splits = {"train": self.learnt.pairs, "val": self.validating.pairs}
        total = sum(map(len, splits.values()))
        told = f"log-probabilities of the replies of {counted(total, 'pair')}, read now"
        self.screen.decided("Reference", f"{told}; a run that goes on reads them again")
        gpt = self.gpt.to(choices.device)
        narrow = None if choices.copy_dtype is None else NarrowCopy(gpt, choices.copy_dtype)
        with choices.step_context(copied=narrow is not None):
            reader = gpt if narrow is None else narrow.model
            found = {"train": self._log_probs(reader, splits["train"], choices, 0, total)}
        del narrow, reader
        with choices.autocast():
            done = len(splits["train"])
            found["val"] = self._log_probs(gpt, splits["val"], choices, done, total)
        return found

    def _log_probs(
        self, gpt: GPT, pairs: Sequence[Pair], choices: Choices, before: int, total: int
    ) -> Numbers:
        def progress(done: int, _: int) -> None:
            self.screen.preparing("reference", before + done, total)

        return reference_log_probs(gpt, pairs, progress, self._places(choices))

    def _places(self, choices: Choices) -> int:
        """Return how many tokens are read at once: no more than a step holds, which is planned."""
        return min(TOKENS_AT_ONCE, 2 * choices.config.batch_size * self.row_length)

    def evaluate(
        self, step: Step[GPT], choices: Choices, world: Alone, most: int | None, last: bool,
        between: Between,
    ) -> PreferenceFigures | None:  # fmt: skip
        """Compare the replies of the pairs that validate.

        Always in the precision of training, in which the reference was read: to compare both in
        others would measure how these round.
        """
        assert isinstance(step, PreferenceStep), "it is ours"
        pairs = self.validating.pairs
        if not pairs:
            return None
        if most is not None:
            read = np.cumsum([sum(pair.lengths) for pair in pairs])
            pairs = pairs[: max(1, int(np.searchsorted(read, most, side="right")))]
        with choices.autocast():
            found = world.within(
                lambda: reference_log_probs(
                    step.model, pairs, lambda *done: between(), self._places(choices)
                )
            )
        return self._figures(step, pairs, found)

    def _figures(
        self, step: PreferenceStep, pairs: Sequence[Pair], found: Numbers
    ) -> PreferenceFigures:
        """Return what the log-probabilities of the replies (n, 2) come to."""
        known = self._references.get("val")
        return figures_of(step, pairs, found, None if known is None else known[: len(pairs)])


def figures_of(
    step: PreferenceStep, pairs: Sequence[Pair], found: Numbers, known: Numbers | None
) -> PreferenceFigures:
    """Return what the log-probabilities of the replies (n, 2) come to.

    `known` are those by the reference, which the step of `dpo` needs; without it no drift is told.
    """
    n_counted = np.array([pair.n_counted for pair in pairs])
    reference = np.zeros_like(found) if known is None else known
    sums, references, numbers = map(torch.from_numpy, (found, reference, n_counted))
    scores = step.scores(sums, references, numbers)
    losses = step.losses(scores, sums, numbers)
    drifts = None if known is None else found - known
    return preference_figures(losses.numpy(), scores.numpy(), n_counted, drifts)
