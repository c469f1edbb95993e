"""A model between two formats: its shape, its tensors one at a time, and what goes with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from groundup.config import GPTConfig
from groundup.runs.classifier import ClassifierTable
from groundup.runs.manifest import SourceTable
from groundup.runs.tensor_file import Stored
from groundup.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class ClassifierHead:
    """What a classifier has in place of an output head; its config ties that to the embedding."""

    table: ClassifierTable
    weight: Stored
    """(labels, emb_dim)"""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A model to be exported; `tensors` have the names and layout of `groundup.model`."""

    config: GPTConfig
    tensors: dict[str, Stored]
    tokenizer: Tokenizer
    chat_template: str | None
    generation: dict[str, Any]
    name: str
    family: str | None = None
    """The family that it came from, where it was imported."""
    head: ClassifierHead | None = None


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A model to be imported, in the names and layout of `groundup.model`."""

    config: GPTConfig
    tensors: dict[str, Stored]
    tokenizer: Tokenizer | None
    why_no_tokenizer: str = ""
    """What would be needed to read the one that is there."""
    chat_template: str | None = None
    generation: dict[str, Any] = field(default_factory=dict)
    source: SourceTable = field(default_factory=SourceTable)
    notices: list[str] = field(default_factory=list)
    head: ClassifierHead | None = None
