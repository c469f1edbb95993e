"""What is evaluated: a model with its tokenizer, and the token that stands before every text."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import torch

from groundup.base.errors import UsageError
from groundup.config import GPTConfig
from groundup.config.fields import LATER
from groundup.model import GPT
from groundup.runs.load import LoadedRun
from groundup.tokenizer import Tokenizer


@dataclass(frozen=True)
class Candidate:
    """A model under evaluation, with its tokenizer.

    `start` holds the ids put before every text, where the model was trained with such: none or one.
    """

    model: GPT
    tokenizer: Tokenizer
    start: Sequence[int] = ()

    def __post_init__(self) -> None:
        known, expected = self.tokenizer.vocab_size, self.model.config.vocab_size
        if known > expected:
            raise UsageError(
                f"the tokenizer has {known} tokens, but the model was made for {expected}; use the "
                "tokenizer that it was trained with"
            )
        for token in self.start:
            if type(token) is not int or not 0 <= token < known:
                raise UsageError(
                    f"start token {token!r}: expected a token id from 0 to {known - 1}; correct "
                    "start_token in the run's generation.toml"
                )

    @classmethod
    def from_run(cls, run: LoadedRun) -> Candidate:
        """Return a loaded run's model, with the start token that its generation.toml names."""
        start = run.generation.get("start_token")
        return cls(run.model, run.tokenizer, () if start is None else (start,))

    @property
    def opening(self) -> list[int]:
        """What the first token of a text is predicted from: `start`, else end of text, else []."""
        end = self.tokenizer.end_of_text
        return [*self.start] or ([] if end is None else [end])

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of everything that its scores depend on."""
        config = _config_text(self.model.config)
        start = f"{config} {self.tokenizer.fingerprint} {list(self.start)}"
        if (end := self.tokenizer.given_end) is not None:
            start += f" {end}"
        digest = hashlib.sha256(start.encode())
        for name, parameter in self.model.named_parameters():
            digest.update(f"{name} {parameter.dtype}".encode())
            whole = parameter.detach().cpu().contiguous()
            digest.update(whole.view(torch.uint8).numpy().data)
        return digest.hexdigest()


def _config_text(config: GPTConfig) -> str:
    """Return a config as the first version wrote it: without later fields, at their default.

    So an evaluation that an older version began goes on.
    """
    texts = [
        f"{field.name}={value!r}"
        for field in fields(config)
        if (value := getattr(config, field.name)) != field.default or not field.metadata.get(LATER)
    ]
    return f"GPTConfig({', '.join(texts)})"
