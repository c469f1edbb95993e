"""How often replies are right: what an assistant's evaluation keeps and a report shows."""

from __future__ import annotations

from dataclasses import dataclass

from groundup.runs.classification import Interval


@dataclass(frozen=True, kw_only=True)
class KindFigures:
    """The figures of one kind of questions."""

    kind: str
    questions: int
    right: int
    """Replies that are the answer."""
    exact: float
    """Their share."""
    exact_interval: Interval
    token_f1: float
    """The mean of `groundup.evaluate.token_f1`."""
    token_f1_interval: Interval


@dataclass(frozen=True, kw_only=True)
class ReplyFigures:
    """The figures of all kinds, and their means, in which each kind counts the same."""

    questions: int
    right: int
    exact: float
    exact_interval: Interval
    token_f1: float
    token_f1_interval: Interval
    kinds: tuple[KindFigures, ...]
