"""Talking to a model: to one that knows roles in turns, to any other in one growing text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from groundup.base.errors import UsageError
from groundup.generate.generate import stream, stream_from
from groundup.generate.sampling import SamplingConfig
from groundup.generate.settings import chat_settings, run_settings, run_template
from groundup.generate.template import ChatTemplate, Message
from groundup.model import GPT
from groundup.runs.load import LoadedRun
from groundup.tokenizer import Tokenizer


def open_chat(run: LoadedRun, *, system: str = "", **settings: Any) -> Chat | Conversation:
    """Begin to talk with a run's model, in the turns of its chat template where it has one.

    `settings` are `generate`'s; where they say nothing (or None), the run's own count. `system` is
    what the model is told beforehand; without a template it is a `UsageError`.
    """
    template = run_template(run)
    if template is not None:
        settings = chat_settings(run, template, **settings)
        return Conversation(run.model, run.tokenizer, template, system=system, **settings)
    if system:
        raise UsageError("a system message needs a chat template, and this run has none")
    return Chat(run.model, run.tokenizer, **run_settings(run, **settings))


class Chat:
    """A running text that the user and the model write in turn; `settings` are `generate`'s.

    Each of the user's lines begins on a line of its own and the model goes on right behind it; an
    empty line lets it go on from where it stopped.
    With a seed, turn t (from 0) draws from seed + t.
    """

    forgotten = 0
    """No turn is: past the context, the window moves over the text."""

    def __init__(self, model: GPT, tokenizer: Tokenizer, **settings: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.settings = settings
        self.text = ""
        self.turns = 0

    def say(self, line: str) -> Iterator[str]:
        """Add `line` to the text and yield what the model writes next, in pieces as it comes."""
        if line and self.text and not self.text.endswith("\n"):
            self.text += "\n"
        self.text += line
        settings = _of_turn(self.turns, self.settings)
        self.turns += 1
        for piece in stream(self.model, self.tokenizer, self.text, **settings):
            self.text += piece
            yield piece


class Conversation:
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
        use_cache: bool = True,
        lookup: bool = True,
        **settings: Any,
    ) -> None:
        settings.pop("start_token", None)  # the template writes it where it belongs
        self.model = model
        self.tokenizer = tokenizer
        self.template = template
        self.settings = settings
        self.reading = {"use_cache": use_cache, "lookup": lookup}
        self.system: list[Message] = [_message("system", system)] if system else []
        self.messages: list[Message] = []
        self.turns = 0
        self.forgotten = 0

    def say(self, line: str) -> Iterator[str]:
        """Put `line` to the model and return the pieces of its answer, which come as it writes.

        A line that the context cannot hold even alone is a `UsageError` that changes nothing.
        """
        sampling = SamplingConfig(**_of_turn(self.turns, self.settings))
        messages = [*self.messages, _message("user", line)]
        ids, n_dropped = self._fitted(messages, sampling.max_tokens)
        room = self.model.config.context_length - len(ids)
        sampling = replace(sampling, max_tokens=min(sampling.max_tokens, room))
        answer = _message("assistant", "")
        self.messages = [*messages[n_dropped:], answer]
        self.forgotten += n_dropped // 2
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


def _of_turn(turn: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with the seed of turn `turn`."""
    seed = settings.get("seed")
    return settings if seed is None else settings | {"seed": seed + turn}
