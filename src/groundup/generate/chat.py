"""Talking to a model that knows no roles: it continues one growing text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from groundup.generate.generate import stream
from groundup.model import GPT
from groundup.tokenizer import Tokenizer


class Chat:
    """A running text that the user and the model write in turn; `settings` are `generate`'s.

    Each of the user's lines begins on a line of its own and the model goes on right behind it; an
    empty line lets it go on from where it stopped.
    With a seed, turn t (from 0) draws from seed + t.
    """

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
        settings = dict(self.settings)
        if settings.get("seed") is not None:
            settings["seed"] += self.turns
        self.turns += 1
        for piece in stream(self.model, self.tokenizer, self.text, **settings):
            self.text += piece
            yield piece
