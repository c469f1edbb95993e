"""A kind of checkpoint: its names, what its architecture fixes, and what has to be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from groundup.weights.checkpoints.state_dict import StateDict
from groundup.weights.tensor_names import Names


def config_beside(state: StateDict) -> Mapping[str, Any]:
    """Return what a config.json beside the file says."""
    return state.beside("config.json")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Checkpoints of one tool, which have the same names and the same architecture.

    `fixed` are the settings that all of its models have; `asked` are those that no tensor tells,
    with values that a hint may give. `refused` are patterns of names of what is more than we read,
    each with what it is. `told` finds settings beside the file, under its names or ours.
    """

    name: str
    title: str
    names: Names
    fixed: Mapping[str, Any]
    asked: Mapping[str, str] = field(default_factory=lambda: {"n_heads": "12"})
    refused: Mapping[str, str] = field(default_factory=dict)
    told: Callable[[StateDict], Mapping[str, Any]] = config_beside
    tokenizer: str = "?"
    """The one that its models have, where all have the same."""
