"""Talking to a model: to one that knows roles in turns, to any other in one growing text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from groundup.base.errors import ConfigError, UsageError, nearest, shown
from groundup.config.fields import build, field_types, parse_value
from groundup.generate.generate import start_ids, stream_from
from groundup.generate.run_settings import (
    NUMBERS,
    Writer,
    chat_settings,
    run_settings,
    run_template,
)
from groundup.generate.sampling import SamplingConfig
from groundup.generate.template import ChatTemplate
from groundup.model import GPT
from groundup.tokenizer import Tokenizer
from groundup.tokenizer.arguments import check_text
from groundup.tokenizer.interface import REPLACEMENT

if TYPE_CHECKING:
    from groundup.data.dialogue import Message

TEMPERATURE = 0.3
"""Of answers, where nobody names another: small models lose the thread, or the language, at 0.8."""
CHANGEABLE = (*NUMBERS, "max_tokens", "seed")
"""Settings that may change between two turns."""
NOTHING_YET = "nothing was said yet that could be answered again"


def open_chat(run: Writer, *, system: str = "", **settings: Any) -> Chat | Conversation:
    """Begin to talk with a run's model, in the turns of its chat template where it has one.

    `settings` are `generate`'s; where they say nothing (or None), the run's own count, and where
    these name no temperature either, answers are written at `TEMPERATURE`. `system` is what the
    model is told beforehand; without a template that has a place for it, it is a `UsageError`.
    """
    template = run_template(run)
    if template is not None:
        settings = {"temperature": TEMPERATURE} | chat_settings(run, template, **settings)
        return Conversation(run.model, run.tokenizer, template, system=system, **settings)
    chat = Chat(run.model, run.tokenizer, **run_settings(run, **settings))
    if system:
        chat.set_system(system)
    return chat


class _Talk:
    """What both kinds of chat have in common: settings that may change between turns."""

    def __init__(
        self,
        model: GPT,
        tokenizer: Tokenizer,
        *,
        use_cache: bool = True,
        lookup: bool = True,
        **settings: Any,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.settings = settings
        self.reading = {"use_cache": use_cache, "lookup": lookup}
        self.turns = 0

    @property
    def sampling(self) -> SamplingConfig:
        """The settings of the next turn: with a seed, turn t (from 0) draws from seed + t."""
        sampling = SamplingConfig(**self.settings)
        seed = sampling.seed
        return sampling if seed is None else replace(sampling, seed=seed + self.turns)

    def change(self, name: str, value: str) -> None:
        """Set one of `CHANGEABLE`, as it is typed, from the next turn on.

        A name or a value that makes no sense is a `ConfigError` that changes nothing.
        """
        if name not in CHANGEABLE:
            raise ConfigError(f"no setting '{shown(name)}'; {nearest(name, CHANGEABLE)}")
        parsed = parse_value(name, value, field_types(SamplingConfig)[name])
        build(SamplingConfig, {name: parsed})
        self.settings = self.settings | {name: parsed}
        if name == "seed":
            self.turns = 0


class Chat(_Talk):
    """A running text that the user and the model write in turn; `settings` are `generate`'s.

    Each of the user's lines begins on a line of its own and the model goes on right behind it; an
    empty line lets it go on from where it stopped. The model reads `text` anew at each turn; a
    character that it had no tokens left to finish is shown, but not a part of it.
    With a seed, turn t (from 0) draws from seed + t.
    """

    forgotten = 0
    """No turn is: past the context, the window moves over the text."""

    def __init__(self, model: GPT, tokenizer: Tokenizer, **settings: Any) -> None:
        super().__init__(model, tokenizer, **settings)
        self.text = ""
        self.asked: str | None = None
        """The text that the last turn went on from."""

    def say(self, line: str) -> Iterator[str]:
        """Add `line` to the text and return what the model writes next, in pieces as it comes.

        A line that cannot be read is an error that changes nothing.
        """
        check_text(line, "say")
        newline = "\n" if line and self.text and not self.text.endswith("\n") else ""
        return self._go_on(self.text + newline + line)

    def retry(self) -> Iterator[str]:
        """Write the last turn again, from the next seed; before the first it is a `UsageError`."""
        if self.asked is None:
            raise UsageError(NOTHING_YET)
        return self._go_on(self.asked)

    def clear(self) -> None:
        """Begin a new text."""
        self.text, self.asked = "", None

    def set_system(self, system: str) -> None:
        """Raise `UsageError`: a text has no place for a system message."""
        raise UsageError("a system message needs a chat template, and this run has none")

    tell = set_system  # its former name

    def _go_on(self, text: str) -> Iterator[str]:
        ids = start_ids(self.tokenizer, text, self.sampling.start_token)
        pieces = stream_from(self.model, self.tokenizer, ids, self.sampling, **self.reading)
        self.text = self.asked = text
        self.turns += 1
        return self._kept(pieces)

    def _kept(self, pieces: Iterator[str]) -> Iterator[str]:
        n_read = len(self.text)
        try:
            for piece in pieces:
                self.text += piece
                yield piece
        finally:  # also where it is interrupted
            self.text = self.text[:n_read] + self.text[n_read:].rstrip(REPLACEMENT)


class Conversation(_Talk):
    """Messages that the user and the model write in turn, in the form of a chat template.

    `settings` are `generate`'s; with a seed, turn t (from 0) draws from seed + t. The model always
    sees whole messages: where they no longer fit its context, the oldest question and its answer
    are forgotten, again and again, but never the system message; `forgotten` counts them.
    """

    def __init__(
        self,
        model: GPT,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        *,
        system: str = "",
        **settings: Any,
    ) -> None:
        settings.pop("start_token", None)  # the template writes it where it belongs
        super().__init__(model, tokenizer, **settings)
        self.template = template
        self.system: list[Message] = []
        self.past: list[Message] = []
        """What the model no longer sees."""
        self.messages: list[Message] = []
        if system:
            self.set_system(system)

    @property
    def forgotten(self) -> int:
        """How many questions the model no longer sees, nor their answers."""
        return len(self.past) // 2

    @property
    def transcript(self) -> list[Message]:
        """All messages, with those that are forgotten."""
        return [*self.system, *self.past, *self.messages]

    def say(self, line: str) -> Iterator[str]:
        """Put `line` to the model and return the pieces of its answer, which come as it writes.

        A line that the context cannot hold even alone is a `UsageError` that changes nothing.
        """
        check_text(line, "say")
        return self._put(self.messages, line)

    def retry(self) -> Iterator[str]:
        """Answer the last question again, from the next seed; before the first, a `UsageError`."""
        if not self.messages:
            raise UsageError(NOTHING_YET)
        *before, question, _ = self.messages
        return self._put(before, question["content"])

    def clear(self) -> None:
        """Forget the conversation, but not the system message."""
        self.past, self.messages = [], []

    def set_system(self, system: str) -> None:
        """Set the system message; a template without a place for it is a `UsageError`."""
        message, question = _message("system", system), _message("user", "?")
        if self.template.render([message, question]) == self.template.render([question]):
            raise UsageError(
                "the chat template has no place for a system message; say it in the first line"
            )
        self.system = [message]

    tell = set_system  # its former name

    def _put(self, before: list[Message], line: str) -> Iterator[str]:
        """Put `line` to the model behind the messages `before`."""
        sampling = self.sampling
        messages = [*before, _message("user", line)]
        ids, n_dropped = self._fitted(messages, sampling.max_tokens)
        room = self.model.config.context_length - len(ids)
        sampling = replace(sampling, max_tokens=min(sampling.max_tokens, room))
        answer = _message("assistant", "")
        self.past = [*self.past, *messages[:n_dropped]]
        self.messages = [*messages[n_dropped:], answer]
        self.turns += 1
        return self._answer(ids, sampling, answer)

    def _answer(self, ids: list[int], sampling: SamplingConfig, answer: Message) -> Iterator[str]:
        """Yield what the model writes behind `ids`, and keep it as its answer."""
        for piece in stream_from(self.model, self.tokenizer, ids, sampling, **self.reading):
            answer["content"] += piece
            yield piece

    def _fitted(self, messages: list[Message], max_tokens: int) -> tuple[list[int], int]:
        """Return the ids of as many of the last messages as fit, and how many do not.

        There is to be room for the whole answer, which half a context is enough for.
        """
        context = self.model.config.context_length
        room = min(max_tokens, context // 2)
        for n_dropped in range(0, len(messages), 2):  # a question and its answer at a time
            kept = [*self.system, *messages[n_dropped:]]
            ids = self.template.encode(self.tokenizer, kept)
            if len(ids) + room <= context:
                break
        if len(ids) >= context:
            raise UsageError(
                f"the message takes {len(ids)} tokens in the chat template, and the model sees "
                f"{context}; shorten it"
            )
        return ids, n_dropped


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}
