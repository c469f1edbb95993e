"""What tasks of one form have in common: questions with gaps, and what fills them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from groundup.data.tasks.draws import TEST, TRAIN, Draws

Templates = Mapping[str, tuple[str, ...]]
"""Texts with gaps as `str.format` fills them, those of each split. None is in both."""


@dataclass(frozen=True)
class Filled:
    """What fills the gaps of any question of a form, and the answer to it.

    `shape` is the text with gaps that went into one of these gaps, where there is one.
    """

    gaps: Mapping[str, object]
    answer: str
    shape: str = ""


@dataclass(frozen=True)
class Form:
    """Some ways to ask for one thing; `fill` draws what is asked about.

    `fill` returns None where what it drew makes no task, as words already in their order; then it
    is called again.
    """

    templates: Templates
    fill: Callable[[Draws], Filled | None]


def asked(train: str, test: str) -> Templates:
    """Return the questions of a form, a line each."""
    return {
        split: tuple(line.strip() for line in text.strip().splitlines())
        for split, text in ((TRAIN, train), (TEST, test))
    }


def listed(items: list[str], last: str = "and") -> str:
    """Return items as a sentence lists them: a, b and c."""
    return f"{', '.join(items[:-1])} {last} {items[-1]}" if len(items) > 1 else items[0]


def with_article(noun: str) -> str:
    """Return a noun, or an adjective and a noun, with `a` or `an` before it."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
