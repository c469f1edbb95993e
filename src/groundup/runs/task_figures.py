"""How often one of the public tasks is answered right: of a model before it learnt, and after."""

from __future__ import annotations

from dataclasses import dataclass

from groundup.runs.classification import Interval


@dataclass(frozen=True, kw_only=True)
class TaskFigures:
    """The figures of one model in a task; `groundup evaluate --tasks` says what each is."""

    right: int
    """Documents with the right choice: that of the highest log-likelihood."""
    accuracy: float
    """Their share: acc."""
    interval: Interval
    """Wilson's."""
    normalised: float | None = None
    """acc_norm, where the task has it."""
    outcomes: str = ""
    """Of each document in turn 1 where its choice was right, else 0."""


@dataclass(frozen=True, kw_only=True)
class TaskChange:
    """Documents that only one of the two models answered right."""

    only_before: int
    only_after: int
    p_value: float
    """McNemar's, exact: how often chance alone parts the two so far, were neither better."""
