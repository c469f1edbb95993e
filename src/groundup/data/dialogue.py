"""What records of instructions, dialogues and preferences become, and when two are the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from groundup.data.duplicates import LeftOut, same_text

Message = dict[str, str]
"""A `role`, one of system, user and assistant, and the `content`."""


@dataclass(frozen=True)
class Dialogue:
    """Messages: of the system, if any, then of the user and the assistant in turns, who ends it.

    `where` says where the record stands ("a.jsonl, line 3").
    """

    messages: tuple[Message, ...]
    where: str

    @property
    def contents(self) -> list[str]:
        """What is said in it."""
        return _contents(self.messages)

    @property
    def n_replies(self) -> int:
        """How many of the messages are the assistant's."""
        return sum(message["role"] == "assistant" for message in self.messages)

    @cached_property
    def normalised(self) -> bytes:
        """What is equal where dialogues differ by case, white space or Unicode form only."""
        return _digest(self.messages)

    @property
    def judgement(self) -> str:
        """Nothing is said of a dialogue."""
        return ""

    @cached_property
    def group(self) -> str:
        """What dialogues share that are the same up to their last reply."""
        return _digest(self.messages[:-1]).hex()


@dataclass(frozen=True)
class PlainText:
    """A text of which all is learnt, and where it stands."""

    text: str
    where: str

    @property
    def contents(self) -> list[str]:
        """What is said in it."""
        return [self.text]

    @cached_property
    def normalised(self) -> bytes:
        """What is equal where texts differ by case, white space or Unicode form only."""
        return _digest(({"role": "text", "content": self.text},))

    @property
    def judgement(self) -> str:
        """Nothing is said of a text."""
        return ""

    @property
    def group(self) -> str:
        """What only the same text has."""
        return self.normalised.hex()


@dataclass(frozen=True)
class Preference:
    """A dialogue up to the user's question, and two replies to it, of which one was chosen."""

    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    where: str

    @property
    def contents(self) -> list[str]:
        """What is said in it."""
        return [*_contents(self.messages), self.chosen, self.rejected]

    @cached_property
    def normalised(self) -> bytes:
        """What is equal for the same question and the same two replies, whichever was chosen."""
        pair = sorted((same_text(self.chosen), same_text(self.rejected)))
        replies = [{"role": "assistant", "content": reply} for reply in pair]
        return _digest([*self.messages, *replies])

    @property
    def judgement(self) -> str:
        """Which of the two replies was chosen; as it is written, if nothing else parts them."""
        chosen = same_text(self.chosen)
        return self.chosen if chosen == same_text(self.rejected) else chosen

    @cached_property
    def group(self) -> str:
        """What preferences share that have the same question."""
        return _digest(self.messages).hex()


Entry = Dialogue | PlainText | Preference

LEFT_OUT = LeftOut(
    repeated="repeated records (the first stays)",
    conflicting="pairs that were chosen either way (all of them)",
    in_test="training records that are among those held out",
    group_in_test="training records whose question is among those held out",
)
"""What entries that are left out are called."""


def _contents(messages: Sequence[Message]) -> list[str]:
    return [message["content"] for message in messages]


def _digest(messages: Sequence[Message]) -> bytes:
    said = [[message["role"], same_text(message["content"])] for message in messages]
    return hashlib.sha256(json.dumps(said).encode()).digest()
