"""A model that answers, with all that it takes to talk with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groundup.generate.chat import Chat, Conversation, open_chat
from groundup.model import GPT
from groundup.runs.save import save
from groundup.tokenizer import Tokenizer


@dataclass(frozen=True)
class Assistant:
    """An assistant with its tokenizer, the form of its dialogues, and what ends its replies."""

    model: GPT
    tokenizer: Tokenizer
    """With the special tokens that the template writes."""
    chat_template: str
    generation: dict[str, Any]
    """The settings for writing, as generation.toml has them."""
    step: int = 0
    notices: tuple[str, ...] = ()
    metrics: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    """What was measured while it was trained, where it has just been."""

    def reply(self, question: str, system: str = "", **settings: Any) -> str:
        """Return the answer to one question: the likeliest token each time, unless told otherwise.

        `system` is what the model is told beforehand, `settings` are `generate`'s. Raises
        `UsageError` for a question that the model's context has no room for, and `TypeError` for
        what is no str.
        """
        return "".join(self.chat(system, **{"temperature": 0.0, **settings}).say(question))

    def chat(self, system: str = "", **settings: Any) -> Chat | Conversation:
        """Begin to talk in turns, as `groundup chat` does: `chat.say(line)` gives an answer."""
        return open_chat(self, system=system, **settings)

    def save(self, path: str | Path) -> Path:
        """Write it into the new run folder `path`, which every verb takes, and return that."""
        return save(
            self.model,
            self.tokenizer,
            path,
            chat_template=self.chat_template,
            generation=self.generation,
        )

    def __repr__(self) -> str:
        return f"Assistant({self.model.extra_repr()}; {self.tokenizer!r})"
