"""What all trainings share of a GPT that is to answer in the turns of a chat template."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from groundup.adapters import adapter_shapes, attach
from groundup.base.errors import quoted
from groundup.config import GPTConfig, as_table
from groundup.data.dialogue import Message
from groundup.finetune.assistant.dialogue_rows import Entries, Learnable, learnable
from groundup.finetune.settings import MAX_LENGTH, InstructSettings
from groundup.generate.generate import stream_from
from groundup.generate.sampling import SamplingConfig
from groundup.generate.template import ChatTemplate, plain_dialogue
from groundup.model import GPT
from groundup.optim.step import Step
from groundup.processes.alone import Alone
from groundup.runs.assistant import ASSISTANT, SFT
from groundup.tokenizer import Tokenizer
from groundup.train.choices import Choices
from groundup.train.job import Job
from groundup.train.listener import Screen
from groundup.train.records import Between
from groundup.train.validate import together


class ChatJob(Job[GPT]):
    """A training of an assistant, whatever it learns from."""

    kind = ASSISTANT

    asked: InstructSettings
    """As asked for, before anything is decided."""
    objective: str = SFT
    """What is learnt, as it was decided."""
    tokenizer: Tokenizer
    """With the special tokens that the template writes."""
    template: ChatTemplate
    screen: Screen = Screen()
    """Where it is told how much is read, once there is one."""

    @property
    def start_token(self) -> int | None:
        """The token that begins every text, where the model knows one."""
        return None

    @property
    @abstractmethod
    def gpt(self) -> GPT:
        """The model that it is made from, with a row for every token."""

    @property
    @abstractmethod
    def row_length(self) -> int:
        """Tokens of the longest row."""

    @property
    @abstractmethod
    def question(self) -> Sequence[Message] | None:
        """Messages up to a question of those that validate, if there is one to show."""

    @cached_property
    def max_length(self) -> int:
        """Tokens of a dialogue that are read."""
        return self.asked.max_length or min(MAX_LENGTH, self.config.context_length)

    def learnable_rows(self, entries: Entries) -> Learnable:
        """Return dialogues and texts as ids, and what was cut off."""
        how = self.template, self.tokenizer, self.max_length, self.start_token
        return learnable(entries, *how)

    @property
    def widest(self) -> GPTConfig:
        """The model with a context as long as a row."""
        return self.config.replace(context_length=self.row_length)

    @property
    def extra(self) -> dict[str, tuple[int, ...]]:  # type: ignore[override]
        """The tensors of the adapters, if any."""
        return adapter_shapes(self.config, self.settings.method, self.settings.lora_rank)

    def decide(self, choices: Choices, screen: Screen) -> dict[str, Any]:
        """Return what run.toml says of the job."""
        asked = replace(self.asked, max_length=self.max_length, objective=self.objective)
        return {"settings": as_table(asked) | {"row_length": self.row_length}}

    def model(self, seed: int) -> GPT:
        """Return the model that it is made from, with new adapters if these alone learn."""
        if (how := self.settings).adapts:
            attach(self.gpt, how.method, how.lora_rank, how.lora_alpha, seed)
        return self.gpt

    @cached_property
    def turn_ends(self) -> tuple[int, ...]:
        """What ends a reply."""
        return tuple(self.template.turn_ends(self.tokenizer))

    def odd_beginnings(self) -> list[str]:
        """Return a line where a chat asks for replies behind other words than they are learnt."""
        if (question := self.question) is None:
            return []
        asked, given = self.template.before_reply(plain_dialogue(question, self.tokenizer))
        if asked == given:
            return []
        what = [quoted(words) if words else "nothing" for words in (asked, given)]
        return [
            f"the chat template writes {what[0]} before a reply that it asks for, and {what[1]} "
            "before one that is there: in a chat, replies stand behind other words than those "
            "behind which they are learnt"
        ]

    def with_turn_ends(self, generation: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings for writing, with what ends a reply among what they stop at."""
        end = self.tokenizer.end_of_text
        stops = generation.get("stop_tokens") or ([] if end is None else [end])
        return {**generation, "stop_tokens": list(dict.fromkeys([*stops, *self.turn_ends]))}

    @cached_property
    def shown(self) -> tuple[str, list[int]] | None:
        """A question to show how the model answers by now: the words, and the whole as ids."""
        if (messages := self.question) is None:
            return None
        ids = self.template.encode(self.tokenizer, messages)
        return (messages[-1]["content"], ids) if len(ids) < self.config.context_length else None

    def sample(
        self, step: Step[GPT], choices: Choices, world: Alone, between: Between
    ) -> tuple[str, str] | None:
        """Answer a question of those that validate."""
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
