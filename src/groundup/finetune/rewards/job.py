"""A training by rewards: a GPT answers questions, and learns from which replies are right."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from groundup.base.errors import UsageError
from groundup.config import TrainConfig
from groundup.data.dialogue import Dialogue, Message
from groundup.finetune.assistant.dialogue_rows import Entries, last_question
from groundup.finetune.assistant.job import ChatJob
from groundup.finetune.rewards.rows import (
    Prompt,
    PromptRows,
    Prompts,
    check_learnable,
    exact,
    of_kinds,
    prompts_of,
)
from groundup.finetune.rewards.settings import RewardSettings
from groundup.finetune.rewards.step import RewardStep
from groundup.generate.questions import continue_prompts
from groundup.model import GPT, filled_gpt
from groundup.optim.step import Step
from groundup.plan import Plan, cache_memory, count_parameters, make_plan
from groundup.processes.alone import Alone
from groundup.runs.assistant import GRPO
from groundup.train.choices import Choices
from groundup.train.listener import Screen
from groundup.train.records import Between


@dataclass(frozen=True)
class Found:
    """What a validation found, by the likeliest token each time."""

    reward: float
    """Share of questions that are answered right."""
    ended: float
    """Share of replies that end by themselves."""
    tokens: int
    """In all replies."""
    n_questions: int

    @property
    def loss(self) -> float:
        """Share of questions that are not answered right: the smaller, the better."""
        return 1 - self.reward

    def figures(self) -> dict[str, float]:
        """Return what a line of metrics.jsonl says of it."""
        return {
            "val_loss": self.loss,
            "val_reward": self.reward,
            "val_ended": self.ended,
            "val_reply_tokens": self.tokens / self.n_questions,
        }


class RewardJob(ChatJob):
    """What every training by rewards does, wherever its questions are.

    The training loss is 1 - reward, and `kl` times the divergence, in the mean of replies.
    """

    objective = GRPO

    asked: RewardSettings

    @abstractmethod
    def entries(self, split: str) -> Entries:
        """Return what to learn from ("train"), and what validates ("val"): questions."""

    @property
    def question(self) -> Sequence[Message] | None:
        """The messages up to the last reply of a dialogue that validates, if there is one."""
        talks = [one for one in self.entries("val") if isinstance(one, Dialogue)]
        return last_question([one for one, _ in of_kinds(talks, self.asked.chosen_kinds)])

    @cached_property
    def learnt(self) -> Prompts:
        """The questions to learn from."""
        return self._prompts("train")

    @cached_property
    def validating(self) -> Prompts:
        """Those that validate, in an order of which any beginning is fair."""
        return self._prompts("val")

    def _prompts(self, split: str) -> Prompts:
        asked, entries = self.asked, self.entries(split)
        talks = [one for one in entries if isinstance(one, Dialogue)]
        chosen = of_kinds(talks, asked.chosen_kinds)
        if len(talks) < len(entries) or (split == "train" and not chosen):
            texts = [one.where for one in entries if not isinstance(one, Dialogue)]
            found = f"{texts[0]} is a text" if texts else f"none of {len(talks):,} dialogues is one"
            kinds = f" and kinds = {asked.kinds}" if asked.kinds else ""
            raise UsageError(
                f"objective = {GRPO}{kinds}: {found}; expected questions with one right answer "
                "each, such as --records tasks"
            )
        if split == "val":
            chosen = sorted(chosen, key=lambda pair: pair[0].normalised)
        how = self.max_length, asked.max_tokens
        found_prompts = prompts_of(chosen, self.template, self.tokenizer, *how)
        if split == "train":
            check_learnable(found_prompts, *how)
        return found_prompts

    @property
    def n_tokens(self) -> int:  # type: ignore[override]
        """Tokens of the questions to learn from, as often as replies begin with them."""
        return self.asked.group * int(self.learnt.lengths.sum())

    @cached_property
    def row_length(self) -> int:
        """Tokens of the longest question and reply."""
        lengths = [*self.learnt.lengths, *self.validating.lengths]
        return int(max(lengths)) + self.asked.max_tokens

    def decide(self, choices: Choices, screen: Screen) -> dict[str, Any]:
        """Return what run.toml says of the job."""
        if choices.config.shard == "on":
            raise UsageError(
                f"shard = on with objective = {GRPO}: processes write replies of different "
                "lengths, and parts of a model must be asked for at once; use shard = off"
            )
        return super().decide(choices, screen)

    def plan(self, settings: TrainConfig) -> Plan:
        """Return what the training takes: memory, work, steps.

        A pass has `group` rows for each question, planned as long as the longest. Its cache is gone
        before activations are there.
        """
        group, reference = self.asked.group, self.asked.kl > 0 and not settings.adapts
        rows = replace(settings, epochs=None, batch_size=settings.batch_size * group)
        n_tokens = len(self.learnt.lengths) * group * self.row_length
        plan = make_plan(self.widest, rows, train_tokens=n_tokens, read="questions")
        assert plan.training is not None, "it is a training"
        terms = plan.training.terms
        if "activations" in terms:
            cache = cache_memory(self.widest, rows.batch_size, rows)
            terms = {**terms, "activations": max(cache, terms["activations"])}
        if reference:
            terms = {**terms, "reference": count_parameters(self.config).storage("fp32")}
        return replace(plan, training=replace(plan.training, terms=terms))

    def source(self, settings: TrainConfig) -> PromptRows:
        """Return the questions to learn from."""
        how = settings.batch_size, settings.seed, settings.accumulation
        return PromptRows(self.learnt, self.asked.group, *how)

    def step(self, model: GPT, choices: Choices) -> RewardStep:
        """Return the model with its replies and their rewards."""
        asked = self.asked
        step = RewardStep(
            model,
            self.tokenizer,
            self.learnt.rows,
            ends=self.turn_ends,
            max_tokens=asked.max_tokens,
            temperature=asked.temperature,
            kl=asked.kl,
            reference=self.reference(model, choices) if asked.kl else None,
            copy_dtype=choices.copy_dtype,
            loss_chunk=choices.config.loss_chunk,
        )
        step.keeps_frozen = self.base is None
        return step

    def reference(self, model: GPT, choices: Choices) -> GPT:
        """Return the model as it is before it learns, in the numbers of a step.

        Where adapters learn, its weights are those beside them, and take no memory of their own.
        """
        known = model if self.settings.adapts else self.gpt
        tensors = {name: p.detach() for name, p in known.named_parameters()}
        if not self.settings.adapts:
            tensors = {name: tensor.clone() for name, tensor in tensors.items()}
        return filled_gpt(self.config, tensors, model.parts).to(choices.device, choices.copy_dtype)

    def evaluate(
        self, step: Step[GPT], choices: Choices, world: Alone, most: int | None, last: bool,
        between: Between,
    ) -> Found | None:  # fmt: skip
        """Answer the questions that validate, the first of them that take at most so many tokens.

        With the threads of the training, so that the same weights give the same replies.
        """
        rows = some(self.validating, most, self.asked.max_tokens)
        if not rows:
            return None
        # The last one, of all questions, is in fp32, as whoever loads the model answers.
        with contextlib.nullcontext() if last else choices.autocast():
            replies = world.within(
                lambda: continue_prompts(
                    step.model,
                    self.tokenizer,
                    [row.ids for row in rows],
                    max_tokens=self.asked.max_tokens,
                    ends=self.turn_ends,
                    tuned=False,
                    progress=lambda *done: between(),
                )
            )
        pairs = list(zip(rows, replies, strict=True))
        return Found(
            reward=sum(exact(row, reply) for row, reply in pairs) / len(pairs),
            ended=sum(reply.ended for reply in replies) / len(pairs),
            tokens=sum(len(reply.ids) for reply in replies),
            n_questions=len(pairs),
        )


def some(prompts: Prompts, most: int | None, max_tokens: int) -> Sequence[Prompt]:
    """Return the first questions, which with their replies take at most so many tokens."""
    if most is None:
        return prompts.rows
    ends = torch.from_numpy(prompts.lengths + max_tokens).cumsum(0)
    return prompts.rows[: max(1, int((ends <= most).sum()))]
